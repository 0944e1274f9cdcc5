"""Lifecycle transitions that wait for the model without blocking the executor, and log their errors."""

import traceback
from collections.abc import Callable, Mapping
from functools import wraps

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.task import Future

from lisa_ros.rclpy_compat import wrap_service

_LABELS = {
    Transition.TRANSITION_CONFIGURE: "configure",
    Transition.TRANSITION_CLEANUP: "cleanup",
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: "shutdown",
    Transition.TRANSITION_INACTIVE_SHUTDOWN: "shutdown",
    Transition.TRANSITION_ACTIVE_SHUTDOWN: "shutdown",
}


def logged_transition(transition):
    """Decorator of a node's transition callbacks: logs their exceptions, which rclpy turns into ERROR without a log."""

    @wraps(transition)
    def call(self, state):
        try:
            return transition(self, state)
        except Exception:  # noqa: BLE001 - the state machine's error processing takes over
            self.get_logger().error(f"{transition.__name__} failed\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR

    return call


def prepare_transitions(node: LifecycleNode, preparations: Mapping[str, Callable[[], Future | None]]):
    """Lets the service change_state await a preparation before it makes a transition of that label.

    rclpy runs a transition within one callback, and the model takes minutes to load, in which no parameter call would
    be answered. Meanwhile the node stays in the state that it leaves. A preparation returns None where there is nothing
    to wait for in the node's state, and its future completes however the wait ends.
    """

    async def change_state(callback: Callable, request: ChangeState.Request, response: ChangeState.Response):
        # As rclpy reads it: a label goes before the id.
        label = request.transition.label or _LABELS.get(request.transition.id, "")
        waited = preparations[label]() if label in preparations else None
        if waited is not None:
            await waited
        return callback(request, response)

    wrap_service(node, ChangeState, change_state)
