"""Lifecycle node `perception`: segments camera images by queries in natural language.

Wiring and lifecycle only; topics, rules and parameters are in docs/node.md.
"""

import sys
import traceback
from collections.abc import Callable

from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.task import Future

from lisa_ros.errors import LisaError
from lisa_ros.nodes.common.executor_queue import ExecutorQueue
from lisa_ros.nodes.common.node_runner import run_node
from lisa_ros.nodes.common.stamps import SECOND
from lisa_ros.nodes.common.throttled_log import ThrottledLog
from lisa_ros.nodes.perception.async_transitions import logged_transition, prepare_transitions
from lisa_ros.nodes.perception.diagnostics import DiagnosticsPublisher
from lisa_ros.nodes.perception.frames.camera_subscribers import CameraSubscribers
from lisa_ros.nodes.perception.frames.camera_transforms import CameraTransforms
from lisa_ros.nodes.perception.frames.frame_buffer import FrameBuffer
from lisa_ros.nodes.perception.frames.publisher_checks import QosMonitor
from lisa_ros.nodes.perception.inference.model_manager import ModelManager, load_lisa
from lisa_ros.nodes.perception.parameter_listener import ParameterListener
from lisa_ros.nodes.perception.queries.frame_selector import FrameSelector
from lisa_ros.nodes.perception.queries.query_statistics import QueryStatistics
from lisa_ros.nodes.perception.results.result_publishers import ResultPublishers
from lisa_ros.nodes.perception.server.query_interfaces import QueryInterfaces
from lisa_ros.nodes.perception.server.query_server import QueryServer
from lisa_ros.nodes.perception.server.segment_action import SegmentAction

_RELEASE_TIME = 10.0  # s for a running query to notice that it is cancelled
_END_TIME = 3.0  # s for the same at the end; launch sends SIGTERM 5 s after SIGINT, and logs an error then
_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class PerceptionNode(LifecycleNode):
    """Wires the parts together and runs the lifecycle.

    Args:
        engine_factory: `engine_factory(parameters)` loads a model with the interface of `lisa_ros.Lisa`.

    Raises:
        ConfigurationError: For bad parameters.
    """

    def __init__(self, engine_factory: Callable = load_lisa):
        super().__init__("perception")
        self.state = "unconfigured"
        self._warn = ThrottledLog(lambda text: self.get_logger().warning(text))
        self._executor_queue = ExecutorQueue(self)
        self._model = ModelManager(engine_factory)
        self._parameter_listener = ParameterListener(self, is_loaded=lambda: self._model.is_wanted)
        self._qos_monitor = QosMonitor(self)
        self._create_parts()
        self._create_interface()
        prepare_transitions(
            self,
            {
                "configure": self._prepare_configure,
                "cleanup": self._prepare_cleanup,
                "shutdown": self._prepare_shutdown,
            },
        )
        self._does_autostart = self._parameter_listener.current().autostart
        if self._does_autostart:
            self._load().add_done_callback(lambda _: self._executor_queue.post(self._autostart))

    def stop_accepting(self):
        """Ends all queries and accepts no more; their results still have to go out."""
        self._query_server.active = False
        self._query_server.cancel_all("the node shuts down")

    def shutdown(self) -> bool:
        """Ends the rest; False where the model is busy with something that cannot be interrupted."""
        self._deactivate()
        self._result_publishers.close()
        return self._model.shutdown(_END_TIME)

    def _create_parts(self):
        parameters = self._parameter_listener
        self._frame_buffer = FrameBuffer(
            parameters.current().buffer_size, lambda: round(parameters.current().sync_tolerance * SECOND)
        )
        self._subscribers = CameraSubscribers(self, self._frame_buffer, self._qos_monitor)
        frame_selector = FrameSelector(self, self._frame_buffer, self._subscribers)
        self._transforms = CameraTransforms(self)
        self._result_publishers = ResultPublishers(self)
        self._statistics = QueryStatistics()
        self._query_server = QueryServer(
            self,
            parameters,
            frame_selector,
            self._transforms,
            self._model,
            self._result_publishers,
            self._statistics,
            self._executor_queue,
        )
        self._diagnostics = DiagnosticsPublisher(
            self,
            parameters,
            self._frame_buffer,
            self._subscribers,
            frame_selector,
            self._transforms,
            self._statistics,
            self._qos_monitor,
        )

    def _create_interface(self):
        QueryInterfaces(self, self._query_server, self._parameter_listener, self._qos_monitor)
        self._action = SegmentAction(self, self._query_server)
        # Timeouts are in real time, also where /clock stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.1, self._on_fast_timer, clock=steady)
        self.create_timer(1.0, self._on_slow_timer, clock=steady)
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump_handle = self.get_clock().create_jump_callback(
            threshold, post_callback=lambda _: self._executor_queue.post(self._on_time_jump)
        )

    # -- lifecycle

    def _load(self):
        parameters = self._parameter_listener.current()
        if not self._model.is_wanted:
            self.get_logger().info(f"loading {parameters.model!r} in {parameters.precision} on {parameters.device}")
        return self._model.load(parameters)

    def _prepare_configure(self) -> Future | None:
        """Loads the weights for a `configure` from outside, which also ends autostart."""
        if self.state != "unconfigured":
            return None
        self._does_autostart = False
        return self._in_executor(self._load())

    def _prepare_cleanup(self) -> Future | None:
        return self._release_model() if self.state == "inactive" else None

    def _prepare_shutdown(self) -> Future | None:
        self._query_server.active = False
        self._query_server.cancel_all("the node shuts down")
        return self._release_model()

    def _release_model(self) -> Future | None:
        """For a transition from outside: a cancelled query may take a moment to notice."""
        if not self._model.is_wanted:
            return None
        self._query_server.forget_conversations()
        released = self._model.release(_RELEASE_TIME)
        released.add_done_callback(self._on_released)
        return self._in_executor(released)

    def _in_executor(self, done) -> Future:
        """A future that callbacks can await, of one that another thread completes."""
        future = Future()
        done.add_done_callback(lambda _: self._executor_queue.post(lambda: future.set_result(None)))
        return future

    def _on_released(self, released):
        error = released.exception()
        if error is not None:
            self.get_logger().warning(str(error))

    def _autostart(self):
        if not self._does_autostart:
            return
        # The weights are loaded, so both transitions are quick; the node served its interfaces meanwhile.
        if self.state == "unconfigured" and self._model.is_wanted:
            self.trigger_configure()
        if self.state == "inactive":
            self.trigger_activate()

    @logged_transition
    def on_configure(self, state) -> TransitionCallbackReturn:
        """Loads the weights; FAILURE, with the reason in the log, where they cannot be loaded."""
        try:
            self._load().result(timeout=0)  # the service waited for it, up to load_timeout
        except Exception as error:  # noqa: BLE001 - no checkpoint may end the node
            self.get_logger().error(f"cannot load the model: {error}")
            if not isinstance(error, LisaError):
                self.get_logger().error("".join(traceback.format_exception(error)))
            self._unload()
            return _FAILURE
        self._result_publishers.open()
        return self._enter("inactive")

    @logged_transition
    def on_activate(self, state) -> TransitionCallbackReturn:
        """Subscribes to the camera and accepts queries."""
        parameters = self._parameter_listener.current()
        self._transforms.open(parameters)
        self._subscribers.open(parameters, self._query_server.on_image)
        self._query_server.active = True
        return self._enter("active")

    @logged_transition
    def on_deactivate(self, state) -> TransitionCallbackReturn:
        """Ends all queries as CANCELLED, unsubscribes from the camera, keeps the weights."""
        self._query_server.cancel_all("the node was deactivated")
        self._deactivate()
        return self._enter("inactive")

    @logged_transition
    def on_cleanup(self, state) -> TransitionCallbackReturn:
        """Frees the weights and withdraws the latched results."""
        self._release()
        return self._enter("unconfigured")

    @logged_transition
    def on_shutdown(self, state) -> TransitionCallbackReturn:
        """Ends all queries as CANCELLED and frees the weights."""
        self._query_server.cancel_all("the node shuts down")
        self._deactivate()
        self._release()
        return self._enter("finalized")

    @logged_transition
    def on_error(self, state) -> TransitionCallbackReturn:
        """Back to unconfigured after a transition failed halfway."""
        self._query_server.cancel_all("the node had an error in a transition")
        self._deactivate()
        self._release()
        return self._enter("unconfigured")

    def _enter(self, state: str) -> TransitionCallbackReturn:
        self.state = state
        topics = ", ".join(self._subscribers.topics.values())
        self.get_logger().info(f"{state}, subscribed to {topics}" if topics else state)
        return _SUCCESS

    def _deactivate(self):
        self._query_server.active = False
        self._subscribers.close()
        self._transforms.close()
        self._frame_buffer.clear()

    def _release(self):
        self._query_server.forget_conversations()
        self._unload()
        self._result_publishers.close()

    def _unload(self):
        if self._model.is_wanted:  # the transition did not come by the service, which would have waited
            self._model.release(_RELEASE_TIME).add_done_callback(self._on_released)
        self._statistics.memory = {}

    # -- callbacks

    def _on_fast_timer(self):
        self._model.check()
        self._subscribers.collect()
        self._query_server.on_timer()

    def _on_slow_timer(self):
        if self.state == "active":
            self._transforms.open(self._parameter_listener.current())  # target_frame may be new
        self._result_publishers.expire_events()
        self._diagnostics.publish()

    def _on_time_jump(self):
        event = "time jumped back, or the clock was changed"
        # Throttled: two publishers of /clock make a jump of every second message.
        self._warn("jump", f"{event}: images, transforms and open queries are dropped")
        self._frame_buffer.clear()
        self._transforms.clear()
        self._query_server.cancel_all(event)


def main(args=None, engine_factory: Callable = load_lisa) -> int:
    """Runs the node until SIGINT or SIGTERM. Returns the exit status: 0, or 2 for bad parameters."""
    return run_node(lambda: PerceptionNode(engine_factory), args)


if __name__ == "__main__":
    sys.exit(main())
