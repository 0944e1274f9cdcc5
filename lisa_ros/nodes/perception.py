"""Lifecycle node `perception`: asks a LISA model about camera images, in words.

Wiring only; topics, rules and parameters are in docs/node.md.
"""

import sys
import traceback
from collections.abc import Callable

from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from lisa_ros.errors import LisaError
from lisa_ros.nodes.desk import QueryDesk
from lisa_ros.nodes.finder import ImageFinder
from lisa_ros.nodes.frame_buffer import SECOND, FrameBuffer
from lisa_ros.nodes.health import Health
from lisa_ros.nodes.inputs import Inputs, arrival_time
from lisa_ros.nodes.mailbox import Mailbox
from lisa_ros.nodes.model_manager import ModelManager, load_lisa
from lisa_ros.nodes.monitor import Monitor
from lisa_ros.nodes.outputs import Outputs
from lisa_ros.nodes.parameters import Parameters
from lisa_ros.nodes.qos_watch import QosWatch
from lisa_ros.nodes.queries import TOPIC, Query
from lisa_ros.nodes.running import run
from lisa_ros.nodes.segment_action import SegmentAction
from lisa_ros.nodes.submit_service import SubmitService
from lisa_ros.nodes.throttle import ThrottledLog
from lisa_ros.nodes.transforms import CameraPoses
from lisa_ros.nodes.transitions import logged_transition, prepare_transitions

# Deeper than a person types, because what overflows here would end without a result.
_QUERY_QOS = QoSProfile(depth=500)
_RELEASE_TIME = 10.0  # s for a query that runs to notice that it is cancelled
_END_TIME = 3.0  # s for the same at the end; launch sends SIGTERM 5 s after SIGINT, and says so as an error
_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class Perception(LifecycleNode):
    """engine_factory(settings) loads a model with the interface of `lisa_ros.Lisa`.

    Raises ConfigurationError for bad parameters.
    """

    def __init__(self, engine_factory: Callable = load_lisa):
        super().__init__("perception")
        self.state = "unconfigured"
        self.inputs: Inputs | None = None  # while active
        self._warn = ThrottledLog(lambda text: self.get_logger().warning(text))
        self._mailbox = Mailbox(self)
        self._model = ModelManager(engine_factory)
        self._settings = Parameters(self, loaded=lambda: self._model.wanted)
        settings = self._settings.current()
        self.buffer = FrameBuffer(settings.buffer_size, lambda: round(self._settings.current().sync_tolerance * SECOND))
        self.health = Health()
        self._outputs = Outputs(self)
        self._poses = CameraPoses(self)
        self._watch = QosWatch(self)
        self._finder = ImageFinder(self.buffer, self._now, lambda: arrival_time(self), lambda: self.inputs)
        self._desk = self._create_desk()
        self._monitor = Monitor(self, self._settings, self.buffer, self.health, self._poses, self._watch, self._finder)
        self._create_interface()
        prepare_transitions(
            self, {"configure": self._loaded, "cleanup": self._cleanup_begun, "shutdown": self._shutdown_begun}
        )
        self._starts_itself = settings.autostart
        if self._starts_itself:
            self._load().add_done_callback(lambda _: self._mailbox.post(self._autostart))

    def quit(self):
        """Ends all queries and takes no more; their results still have to go out."""
        self._desk.active = False
        self._desk.cancel_all("the node shuts down")

    def close(self) -> bool:
        """Ends the rest; False where the model is busy with something that cannot be interrupted."""
        self._deactivate()
        self._outputs.close()
        return self._model.shutdown(_END_TIME)

    def _create_desk(self) -> QueryDesk:
        return QueryDesk(
            settings=self._settings.current,
            now=self._now,
            post=self._mailbox.post,
            publish=self._outputs.publish,
            find_pose=self._poses.find,
            find_depth_pose=self._poses.find_depth,
            is_wanted=self._outputs.is_wanted,
            finder=self._finder,
            model=self._model,
            health=self.health,
            logger=self.get_logger(),
        )

    def _create_interface(self):
        events = self._watch.events(self.resolve_topic_name("query"), _QUERY_QOS)
        self.create_subscription(String, "query", self._on_query, _QUERY_QOS, event_callbacks=events)
        self._action = SegmentAction(self, self._desk, self._prepare)
        SubmitService(self, self._desk, self._prepare)
        self.create_service(Trigger, "cancel", self._on_cancel)
        self.create_service(Trigger, "forget", self._on_forget)
        # Waiting times are real ones, also where /clock stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.1, self._on_tick, clock=steady)
        self.create_timer(1.0, self._on_second, clock=steady)
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jumps = self.get_clock().create_jump_callback(
            threshold, post_callback=lambda _: self._mailbox.post(self._on_time_jump)
        )

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    # -- lifecycle

    def _load(self):
        settings = self._settings.current()
        if not self._model.wanted:
            self.get_logger().info(f"loading {settings.model!r} in {settings.precision} on {settings.device}")
        return self._model.load(settings)

    def _loaded(self) -> Future | None:
        """For a configure from outside: whoever sends it leads from now on."""
        if self.state != "unconfigured":
            return None
        self._starts_itself = False
        return self._in_executor(self._load())

    def _cleanup_begun(self) -> Future | None:
        return self._released() if self.state == "inactive" else None

    def _shutdown_begun(self) -> Future | None:
        self._desk.active = False
        self._desk.cancel_all("the node shuts down")
        return self._released()

    def _released(self) -> Future | None:
        """For a transition from outside: a query that was cancelled may take a moment to notice."""
        if not self._model.wanted:
            return None
        self._desk.forget()
        released = self._model.release(_RELEASE_TIME)
        released.add_done_callback(self._on_released)
        return self._in_executor(released)

    def _in_executor(self, done) -> Future:
        """A future to await, from one that another thread ends."""
        future = Future()
        done.add_done_callback(lambda _: self._mailbox.post(lambda: future.set_result(None)))
        return future

    def _on_released(self, released):
        error = released.exception()
        if error is not None:
            self.get_logger().warning(str(error))

    def _autostart(self):
        if not self._starts_itself:
            return
        # The weights are there, so both transitions are quick and the node answered all the while.
        if self.state == "unconfigured" and self._model.wanted:
            self.trigger_configure()
        if self.state == "inactive":
            self.trigger_activate()

    @logged_transition
    def on_configure(self, state) -> TransitionCallbackReturn:
        """Loads the weights; FAILURE, with the reason in the log, where that cannot be done."""
        try:
            self._load().result(timeout=0)  # it has been waited for, in vain where it took too long
        except Exception as error:  # noqa: BLE001 - whatever a checkpoint does, the node stays and says so
            self.get_logger().error(f"cannot load the model: {error}")
            if not isinstance(error, LisaError):
                self.get_logger().error("".join(traceback.format_exception(error)))
            self._unload()
            return _FAILURE
        self._outputs.open()
        return self._enter("inactive")

    @logged_transition
    def on_activate(self, state) -> TransitionCallbackReturn:
        """Subscribes to the camera and takes queries."""
        settings = self._settings.current()
        self._poses.open(settings)
        self.inputs = Inputs(self, self.buffer, settings, self._watch, self._desk.on_image)
        self._desk.active = True
        return self._enter("active")

    @logged_transition
    def on_deactivate(self, state) -> TransitionCallbackReturn:
        """Ends all queries as CANCELLED, leaves the camera, keeps the weights."""
        self._desk.cancel_all("the node was deactivated")
        self._deactivate()
        return self._enter("inactive")

    @logged_transition
    def on_cleanup(self, state) -> TransitionCallbackReturn:
        """Frees the weights and withdraws the latched answers."""
        self._release()
        return self._enter("unconfigured")

    @logged_transition
    def on_shutdown(self, state) -> TransitionCallbackReturn:
        """Ends all queries as CANCELLED and frees the weights."""
        self._desk.cancel_all("the node shuts down")
        self._deactivate()
        self._release()
        return self._enter("finalized")

    @logged_transition
    def on_error(self, state) -> TransitionCallbackReturn:
        """Back to the start after a transition failed halfway."""
        self._desk.cancel_all("the node had an error in a transition")
        self._deactivate()
        self._release()
        return self._enter("unconfigured")

    def _enter(self, state: str) -> TransitionCallbackReturn:
        self.state = state
        self.get_logger().info(
            f"{state}" + (f", listening to {', '.join(self.inputs.topics.values())}" if self.inputs else "")
        )
        return _SUCCESS

    def _deactivate(self):
        self._desk.active = False
        if self.inputs is not None:
            self.inputs.close()
            self.inputs = None
        self._poses.close()
        self.buffer.clear()

    def _release(self):
        self._desk.forget()
        self._unload()
        self._outputs.close()

    def _unload(self):
        if self._model.wanted:  # without a service call that has waited for it
            self._model.release(_RELEASE_TIME).add_done_callback(self._on_released)
        self.health.memory = {}

    # -- callbacks

    def _on_query(self, message: String):
        self._desk.accept(self._desk.new_query(message.data, TOPIC, self._settings.current().with_cloud))

    def _prepare(self, query: Query):
        """A query's own target_frame may need TF where the parameter does not."""
        if self._desk.active and query.with_cloud:
            self._poses.open(query.settings)

    def _on_cancel(self, request, response):
        count = self._desk.cancel_all("cancelled by the service")
        response.success, response.message = count > 0, f"{count} queries cancelled"
        return response

    def _on_forget(self, request, response):
        response.success, response.message = True, f"{self._desk.forget()} conversations forgotten"
        return response

    def _on_tick(self):
        self._model.check()
        self._desk.tick()

    def _on_second(self):
        if self.state == "active":
            self._poses.open(self._settings.current())  # target_frame may have been set meanwhile
        self._outputs.forget_passing()
        self._monitor.report()

    def _on_time_jump(self):
        event = "time jumped back, or the clock was changed"
        # Two clocks on one topic make a jump of every second message.
        self._warn("jump", f"{event}: images, transforms and open queries are dropped")
        self.buffer.clear()
        self._poses.clear()
        self._desk.cancel_all(event)


def main(args=None, engine_factory: Callable = load_lisa) -> int:
    """Runs the node until SIGINT or SIGTERM. Returns the exit status: 0, or 2 for bad parameters."""
    return run(lambda: Perception(engine_factory), args)


if __name__ == "__main__":
    sys.exit(main())
