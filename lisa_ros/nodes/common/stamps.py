"""Stamps of messages as integer nanoseconds, and the clock by which arrivals are measured."""

import time

from builtin_interfaces.msg import Time

from lisa_ros.errors import InvalidImageError

SECOND = 1_000_000_000


def time_message(nanoseconds: int) -> Time:
    """ns to a stamp."""
    return Time(sec=nanoseconds // SECOND, nanosec=nanoseconds % SECOND)


def stamp_of(message, arrived: int) -> tuple[int, bool]:
    """Stamp of a message's header in ns, and whether it had one.

    A stamp of zero stands for "not set"; the arrival takes its place. Raises InvalidImageError for a stamp that no
    clock gives: negative seconds, a second of nanoseconds or more.
    """
    stamp = message.header.stamp
    if stamp.sec < 0 or stamp.nanosec >= SECOND:
        raise InvalidImageError(f"header stamp {stamp.sec} s {stamp.nanosec} ns is not a time")
    nanoseconds = stamp.sec * SECOND + stamp.nanosec
    return (nanoseconds, True) if nanoseconds else (arrived, False)


def arrival_time(node) -> int:
    """ns of the clock of arrivals: simulated time where the node has it, else one that is never set."""
    clock = node.get_clock()
    return clock.now().nanoseconds if clock.ros_time_is_active else time.monotonic_ns()
