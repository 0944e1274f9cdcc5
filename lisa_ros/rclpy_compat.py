"""What nodes and client use of rclpy beyond its documented interface, and what differs between its releases.

Nothing else in the package reaches into rclpy. Run and tested with rclpy 9.1.2 (Kilted); what the nodes use was checked
in the source of 3.3.15 (Humble), 7.1.3 (Jazzy) and 8.0.0, what the client uses was not.
"""

import sys
from collections.abc import Awaitable, Callable

from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy.executors import Executor, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.task import Task

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

__all__ = [
    "CollectedGroup",
    "SubscriptionEventCallbacks",
    "is_in_callback",
    "parameter_overrides",
    "take_message",
    "thread_count",
    "wrap_service",
]


class CollectedGroup(CallbackGroup):
    """Subscriptions whose messages are taken by `take_message`; they do not wake the executor. Their events do.

    Each wake of rclpy's executor costs about a millisecond of CPU time, whatever the message is.
    """

    def can_execute(self, entity) -> bool:
        """False for subscriptions."""
        return not isinstance(entity, Subscription)

    def beginning_execution(self, entity) -> bool:
        """True: events of the subscriptions may run at any time."""
        return True

    def ending_execution(self, entity) -> None:
        """Nothing to do."""


def take_message(subscription: Subscription):
    """The oldest message that waits at a subscription, or None.

    As rclpy's executors do it, by `Subscription.handle`; to be called in the thread that spins the node.
    """
    with subscription.handle:
        taken = subscription.handle.take_message(subscription.msg_type, False)
    return None if taken is None else taken[0]


def parameter_overrides(node: Node) -> list[str]:
    """Names of all parameters that files and command line give to a node, declared by it or not.

    rclpy keeps them in `Node._parameter_overrides`; where a release does not, the list is empty.
    """
    return sorted(getattr(node, "_parameter_overrides", {}))


def wrap_service(node: Node, srv_type: type, wrapper: Callable[[Callable, object, object], Awaitable]):
    """Puts a coroutine in front of a service that rclpy itself has created on a node.

    rclpy gives no way to replace the callback of such a service, so that of `Service.callback` is set. The service gets
    a callback group of its own: what is awaited keeps its group busy, and the node's own group holds everything else.

    Args:
        node: The node that has exactly one service of the type.
        srv_type: Type of the service.
        wrapper: `wrapper(callback, request, response)` is awaited in place of `callback(request, response)`.
    """
    service = next(service for service in node.services if service.srv_type is srv_type)
    callback = service.callback

    async def call(request, response):
        return await wrapper(callback, request, response)

    service.callback = call
    service.callback_group = MutuallyExclusiveCallbackGroup()
    service.callback_group.add_entity(service)


def is_in_callback(executor: Executor) -> bool:
    """Whether the calling thread runs a callback of an executor: within `Task.__call__`, whose task names it."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code is Task.__call__.__code__:
            reference = frame.f_locals["self"]._executor
            if reference is not None and reference() is executor:
                return True
        frame = frame.f_back
    return False


def thread_count(executor: Executor) -> int:
    """How many callbacks an executor can run at once."""
    return executor._executor._max_workers if isinstance(executor, MultiThreadedExecutor) else 1
