"""A `configure` from outside that does not hold up the executor while weights load."""

from collections.abc import Callable

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future


def load_before_configure(node: LifecycleNode, load: Callable[[], Future]):
    """Lets the service change_state await load() before it configures; meanwhile the node stays `unconfigured`.

    rclpy runs a transition within one callback, and loading takes minutes in which no parameter call would be answered.
    load() is called in the state `unconfigured` only, and its future ends however loading ends.
    """
    service = next(service for service in node.services if service.srv_type is ChangeState)
    change = service.callback

    async def change_state(request, response):
        if _configures(request.transition) and node.state == "unconfigured":
            await load()
        return change(request, response)

    service.callback = change_state
    # What is awaited keeps its group busy, and the node's own group holds everything else.
    service.callback_group = MutuallyExclusiveCallbackGroup()
    service.callback_group.add_entity(service)


def _configures(transition: Transition) -> bool:
    # As rclpy reads it: a label goes before the id.
    return transition.label == "configure" or (
        not transition.label and transition.id == Transition.TRANSITION_CONFIGURE
    )
