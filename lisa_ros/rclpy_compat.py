"""What nodes and client use of rclpy beyond its documented interface, and what differs between its releases.

Nothing else in the package reaches into rclpy. Run and tested with rclpy 9.1.2 (Kilted); what the nodes use was checked
in the source of 3.3.15 (Humble), 7.1.3 (Jazzy) and 8.0.0, what the client uses was not.
"""

import sys
from collections.abc import Awaitable, Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import Executor, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.task import Task

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

__all__ = ["SubscriptionEventCallbacks", "is_in_callback", "parameter_overrides", "thread_count", "wrap_service"]


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
