"""A client of the perception node: asks through the topic or the action and collects what comes back."""

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import PointCloud2, TimeReference
from std_msgs.msg import String

from lisa_ros.action import Segment
from lisa_ros.errors import LisaError
from lisa_ros.geometry.poses import pose_matrix
from lisa_ros.msg import SegmentationResult as Result
from lisa_ros.msg import SegmentationTarget
from lisa_ros.nodes.common.messages import read_cloud
from lisa_ros.types import ABSENT, SEGMENTED, SegmentationResult, Target

TOPIC, ACTION = "topic", "action"
_LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
_STAMPS_KEPT = 2000
_STATUS = {value: name for name, value in vars(Result).items() if name.isupper() and isinstance(value, int)}
_CLOUD_WAIT = 2.0  # s that clouds may come after the result
_PROBE = "What is on the table?"


class NoReplyError(LisaError):
    """The graph did not do in time what it should."""


class GraphEndedError(LisaError):
    """A process of the graph has ended, so that there is nothing to wait for."""


@dataclass(frozen=True)
class Cloud:
    """points, scene_points: (N, 3) float32 m; colors, scene_colors: (N, 3) uint8 RGB; all in `frame_id`."""

    frame_id: str
    points: np.ndarray
    colors: np.ndarray
    scene_points: np.ndarray
    scene_colors: np.ndarray


@dataclass(frozen=True)
class Box:
    """pose: (4, 4) frame of the cloud <- box. extents: (3,) m."""

    pose: np.ndarray
    extents: np.ndarray


@dataclass(frozen=True)
class Reply:
    """One query's result. status: name of the message's constant. stamp: ns, of the segmented image.

    seconds: from asking to the result's arrival, here. scene: seed and motion time in s of the segmented image, None
    where its camera is not a simulator. cloud: None where there is none.
    """

    status: str
    message: str
    result: SegmentationResult
    model: str
    stamp: int
    seconds: float
    scene: tuple[int, float] | None
    boxes: tuple[Box, ...]
    cloud: Cloud | None


class Asker:
    """Use as a context manager, in one thread. check() is called while waiting, to raise when waiting is in vain."""

    def __init__(self, namespace: str, check: Callable[[], None]):
        self._check = check
        self._context = Context()
        # Ctrl-C is the caller's: it has processes to end.
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = node = Node("asker", namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._scenes: OrderedDict[int, tuple[int, float]] = OrderedDict()
        self._results: list[Result] = []
        self._clouds: dict[str, PointCloud2] = {}
        self._lifecycle = node.create_client(ChangeState, "perception/change_state")
        self._query = node.create_publisher(String, "query", QoSProfile(depth=10))
        self._action = ActionClient(node, Segment, "segment")
        sensor = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
        node.create_subscription(TimeReference, "scene_time", self._on_scene_time, sensor)
        node.create_subscription(Result, "result", self._results.append, _LATCHED)
        for topic in ("points", "scene_points"):
            node.create_subscription(PointCloud2, topic, lambda m, t=topic: self._clouds.update({t: m}), _LATCHED)

    def __enter__(self) -> "Asker":
        return self

    def __exit__(self, *_):
        self._executor.shutdown()
        self._action.destroy()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def activate(self, timeout: float):
        """Configures and activates the perception node, which was started without autostart. Raises NoReplyError."""
        self._until(self._lifecycle.service_is_ready, timeout, "the perception node")
        for name in ("configure", "activate"):
            transition = Transition(id=getattr(Transition, f"TRANSITION_{name.upper()}"))
            future = self._lifecycle.call_async(ChangeState.Request(transition=transition))
            self._until(future.done, timeout, f"the perception node to {name}")
            if not future.result().success:
                raise NoReplyError(f"the perception node refused to {name}; its log says why")

    def wait_scene(self, seed: int, timeout: float):
        """Returns when the node has an image of the scene of a seed from the simulated camera. Raises NoReplyError."""
        before = len(self._scenes)

        def streams() -> bool:
            return len(self._scenes) > before and next(reversed(self._scenes.values()))[0] == seed

        self._until(streams, timeout, f"images of scene {seed}")
        # Discovery takes its time for each subscriber: the node may not hear the new camera yet. A goal about an image
        # that is streaming now ends well only when that image has reached the node.
        end = time.monotonic() + timeout
        while self._probe(timeout).status == Result.NO_IMAGE:
            if time.monotonic() > end:
                raise NoReplyError(f"waited {timeout:g} s in vain for the node to see scene {seed}")

    def ask(self, text: str, via: str, timeout: float, stamp: int = 0) -> Reply:
        """Asks with clouds, and waits for the result. Raises NoReplyError.

        via: TOPIC or ACTION. stamp: ns, of the image to ask about, which the action alone can say; 0: the newest one.
        """
        self._results.clear()
        self._clouds.clear()
        started = time.perf_counter()
        message = self._ask_topic(text, timeout) if via == TOPIC else self._ask_action(text, timeout, stamp)
        seconds = time.perf_counter() - started
        if message.status == Result.OK:
            end = time.monotonic() + _CLOUD_WAIT
            while time.monotonic() < end and not self._has_clouds(message):
                self._spin(0.02)
        return self._reply(message, seconds)

    def _ask_topic(self, text: str, timeout: float) -> Result:
        self._until(lambda: self._query.get_subscription_count() > 0, timeout, "a subscriber of the topic query")
        self._query.publish(String(data=text))
        mine: list[Result] = []

        def answered() -> bool:
            mine.extend(result for result in self._results if result.query == text)
            return bool(mine)

        self._until(answered, timeout, "a result")
        return mine[0]

    def _probe(self, timeout: float) -> Result:
        return self._ask_action(_PROBE, timeout, next(reversed(self._scenes)), with_cloud=False)

    def _ask_action(self, text: str, timeout: float, stamp: int, with_cloud: bool = True) -> Result:
        self._until(self._action.server_is_ready, timeout, "the action segment")
        goal = Segment.Goal(query=text, with_cloud=with_cloud)
        goal.image_stamp.sec, goal.image_stamp.nanosec = divmod(stamp, 1_000_000_000)
        sent = self._action.send_goal_async(goal)
        self._until(sent.done, timeout, "an answer to the goal")
        if not sent.result().accepted:
            raise NoReplyError(f"the goal {text!r} was rejected; the result topic says why")
        done = sent.result().get_result_async()
        try:
            self._until(done.done, timeout, "the goal's result")
        except NoReplyError:
            sent.result().cancel_goal_async()  # what nobody waits for must not keep the node from the next question
            raise
        return done.result().result.result

    def _has_clouds(self, message: Result) -> bool:
        # Empty ones, of a question about the same image that found nothing, may come late.
        stamps = [_nanoseconds(c.header.stamp) for t, c in self._clouds.items() if t != "points" or c.width]
        return len(stamps) == 2 and set(stamps) == {_nanoseconds(message.header.stamp)}

    def _reply(self, message: Result, seconds: float) -> Reply:
        stamp = _nanoseconds(message.header.stamp)
        shape = message.mask.height, message.mask.width
        return Reply(
            status=_STATUS[message.status],
            message=message.message,
            result=SegmentationResult(
                message.query,
                message.answer,
                tuple(_target(target, shape) for target in message.targets),
                {stage.stage: stage.seconds for stage in message.stages},
                message.truncated,
            ),
            model=message.model,
            stamp=stamp,
            seconds=seconds,
            scene=self._scenes.get(stamp),
            boxes=tuple(_box(target) for target in message.targets if target.has_box),
            cloud=self._cloud() if message.status == Result.OK and self._has_clouds(message) else None,
        )

    def _cloud(self) -> Cloud:
        target, scene = self._clouds["points"], self._clouds["scene_points"]
        return Cloud(target.header.frame_id, *read_cloud(target), *read_cloud(scene))

    def _on_scene_time(self, message: TimeReference):
        seed = re.match(r"seed (\d+)", message.source)
        if seed:
            motion_time = _nanoseconds(message.time_ref) / 1e9
            self._scenes[_nanoseconds(message.header.stamp)] = int(seed[1]), motion_time
            while len(self._scenes) > _STAMPS_KEPT:
                self._scenes.popitem(last=False)

    def _until(self, done: Callable[[], bool], timeout: float, what: str):
        end = time.monotonic() + timeout
        while not done():
            self._check()
            if time.monotonic() > end:
                raise NoReplyError(f"waited {timeout:g} s in vain for {what}")
            self._spin(0.02)

    def _spin(self, seconds: float):
        end = time.monotonic() + seconds
        while True:
            self._executor.spin_once(timeout_sec=max(0.0, end - time.monotonic()))
            if time.monotonic() >= end:
                return


def _nanoseconds(stamp) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def _target(message: SegmentationTarget, shape: tuple[int, int]) -> Target:
    mask = np.zeros(shape, bool)
    if message.area:
        roi, image = message.roi, message.mask
        cropped = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)[:, : image.width] > 0
        mask[roi.y_offset : roi.y_offset + roi.height, roi.x_offset : roi.x_offset + roi.width] = cropped
    kind = ABSENT if message.kind == SegmentationTarget.ABSENT else SEGMENTED
    return Target(message.phrase, kind, mask, mean_probability=message.mean_probability)


def _box(message: SegmentationTarget) -> Box:
    position, turn, extents = message.box.pose.position, message.box.pose.orientation, message.extents
    pose = pose_matrix((position.x, position.y, position.z, turn.x, turn.y, turn.z, turn.w))
    return Box(pose, np.array([extents.x, extents.y, extents.z]))
