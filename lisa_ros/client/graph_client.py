"""The client of a program that has started the graph itself: the demo, the evaluation, the benchmarks."""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import TimeReference
from std_msgs.msg import String

from lisa_ros.client.clouds import CloudBuffer
from lisa_ros.client.conversion import nanoseconds, read_result
from lisa_ros.client.perception_client import PerceptionClient
from lisa_ros.client.results import PerceptionResult, PointCloud, QueryStatus, TargetLocation
from lisa_ros.errors import NoResultError
from lisa_ros.msg import SegmentationResult

TOPIC, ACTION = "topic", "action"
_LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
_STAMPS_KEPT = 2000
_CLOUD_WAIT = 2.0  # s that clouds may come after the result
_DISCOVERY = 60.0  # s; the node is there when something is asked, on a machine that may be very busy
_SLICE = 0.02  # s
_PROBE = "What is on the table?"


@dataclass(frozen=True)
class TimedResult:
    """A result, how long it took, and what its image shows.

    Attributes:
        result: With clouds.
        seconds: From asking to the result's arrival, here.
        scene: Seed and motion time in s of the segmented image, None where its camera is not a simulator.
    """

    result: PerceptionResult
    seconds: float
    scene: tuple[int, float] | None

    @property
    def status(self) -> str:
        """Name of the message's constant."""
        return self.result.status.name

    @property
    def boxes(self) -> tuple[TargetLocation, ...]:
        """Of the targets that have one."""
        return tuple(target.location for target in self.result.targets if target.location)

    @property
    def cloud(self) -> PointCloud | None:
        """Of the targets; None where there is none."""
        return self.result.cloud


class GraphClient:
    """Use as a context manager, in one thread.

    Attributes:
        node: The node, for further subscriptions; it spins while a method waits.
    """

    def __init__(self, namespace: str, check: Callable[[], None]):
        """The graph may still be starting.

        Args:
            namespace: Of the perception node and the camera.
            check: Called while waiting, to raise when waiting is in vain.
        """
        self._check = check
        self._context = Context()
        # Ctrl-C is the caller's: it has processes to end.
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = node = Node("graph_client", namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._scenes: OrderedDict[int, tuple[int, float]] = OrderedDict()
        self._results: list[SegmentationResult] = []
        self._lifecycle = node.create_client(ChangeState, "perception/change_state")
        self._query = node.create_publisher(String, "query", QoSProfile(depth=10))
        # Questions by the topic have clouds too: one buffer serves both ways.
        self._client = PerceptionClient("", node=node, clouds="none", discovery_timeout=_DISCOVERY)
        self._clouds = CloudBuffer(node, "", MutuallyExclusiveCallbackGroup(), True, lambda: None)
        sensor = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
        node.create_subscription(TimeReference, "scene_time", self._on_scene_time, sensor)
        node.create_subscription(SegmentationResult, "result", self._results.append, _LATCHED)

    def __enter__(self) -> "GraphClient":
        """The client itself."""
        return self

    def __exit__(self, *_):
        """Removes the node."""
        self._client.close()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def activate(self, timeout: float):
        """Configures and activates the perception node, which was started without autostart.

        Args:
            timeout: s, for each step.

        Raises:
            NoResultError: It takes longer, or the node refuses.
        """
        self._until(self._lifecycle.service_is_ready, timeout, "the perception node")
        for name in ("configure", "activate"):
            transition = Transition(id=getattr(Transition, f"TRANSITION_{name.upper()}"))
            future = self._lifecycle.call_async(ChangeState.Request(transition=transition))
            self._until(future.done, timeout, f"the perception node to {name}")
            if not future.result().success:
                raise NoResultError(f"the perception node refused to {name}; its log says why")

    def wait_scene(self, seed: int, timeout: float):
        """Returns when the node has an image of a scene from the simulated camera.

        Args:
            seed: Of the scene.
            timeout: s.

        Raises:
            NoResultError: It takes longer.
        """
        before = len(self._scenes)

        def streams() -> bool:
            return len(self._scenes) > before and next(reversed(self._scenes.values()))[0] == seed

        self._until(streams, timeout, f"images of scene {seed}")
        # Discovery takes its time for each subscriber: the node may not hear the new camera yet. A goal about an image
        # that is streaming now ends well only when that image has reached the node.
        end = time.monotonic() + timeout
        while self._probe(timeout).status is QueryStatus.NO_IMAGE:
            if time.monotonic() > end:
                raise NoResultError(f"waited {timeout:g} s in vain for the node to see scene {seed}")

    def ask(self, text: str, via: str, timeout: float, stamp: int = 0) -> TimedResult:
        """Asks with clouds, and waits for the result.

        Args:
            text: The query.
            via: TOPIC or ACTION.
            timeout: s.
            stamp: ns, of the image to ask about, which the action alone can say; 0: the newest one.

        Raises:
            NoResultError: There is none; as `QueryHandle.result`.
        """
        self._results.clear()
        started = time.perf_counter()
        result = self._ask_topic(text, timeout) if via == TOPIC else self._ask_action(text, timeout, stamp)
        seconds = time.perf_counter() - started
        return TimedResult(self._with_clouds(result), seconds, self._scenes.get(result.stamp))

    def ask_phrases(self, phrases: Sequence[str], timeout: float) -> TimedResult:
        """Asks the action for several things in the newest image, with clouds, and waits for the result.

        Args:
            phrases: What is asked for.
            timeout: s.

        Raises:
            NoResultError: There is none; as `QueryHandle.result`.
        """
        started = time.perf_counter()
        result = self._ask_action("", timeout, 0, phrases=phrases)
        seconds = time.perf_counter() - started
        return TimedResult(self._with_clouds(result), seconds, self._scenes.get(result.stamp))

    def _ask_topic(self, text: str, timeout: float) -> PerceptionResult:
        self._until(lambda: self._query.get_subscription_count() > 0, timeout, "a subscriber of the topic query")
        self._query.publish(String(data=text))
        mine: list[SegmentationResult] = []

        def answered() -> bool:
            mine.extend(result for result in self._results if result.query == text)
            return bool(mine)

        self._until(answered, timeout, "a result")
        return read_result(mine[0])

    def _probe(self, timeout: float) -> PerceptionResult:
        return self._ask_action(_PROBE, timeout, next(reversed(self._scenes)), with_cloud=False)

    def _ask_action(self, text: str, timeout: float, stamp: int, **options) -> PerceptionResult:
        handle = self._client.ask_async(text, timeout=timeout, image_stamp=stamp, **options)
        try:
            while not handle.done():
                self._check()
                self._spin(_SLICE)
        finally:
            handle.cancel()  # what nobody waits for must not keep the node from the next question
        return handle.result()

    def _with_clouds(self, result: PerceptionResult) -> PerceptionResult:
        end = time.monotonic() + _CLOUD_WAIT
        while any(target.location for target in result.targets) and time.monotonic() < end:
            if (complete := self._clouds.complete(result)) is not None:
                return complete
            self._spin(_SLICE)
        return result

    def _on_scene_time(self, message: TimeReference):
        seed = re.match(r"seed (\d+)", message.source)
        if seed:
            motion_time = nanoseconds(message.time_ref) / 1e9
            self._scenes[nanoseconds(message.header.stamp)] = int(seed[1]), motion_time
            while len(self._scenes) > _STAMPS_KEPT:
                self._scenes.popitem(last=False)

    def _until(self, done: Callable[[], bool], timeout: float, what: str):
        end = time.monotonic() + timeout
        while not done():
            self._check()
            if time.monotonic() > end:
                raise NoResultError(f"waited {timeout:g} s in vain for {what}")
            self._spin(_SLICE)

    def _spin(self, seconds: float):
        end = time.monotonic() + seconds
        while True:
            self._executor.spin_once(timeout_sec=max(0.0, end - time.monotonic()))
            if time.monotonic() >= end:
                return
