"""Throttled logging by key."""

import time
from collections.abc import Callable


class ThrottledLog:
    """Logs at most one line per key and period; rclpy itself throttles by source line.

    Args:
        write: Logs a text in a source line of its own, as `lambda text: logger.warning(text)` does: rclpy raises
            ValueError where one line logs with two severities, and here all users would share that line.
        period: Seconds between two lines of one key.
    """

    def __init__(self, write: Callable[[str], None], period: float = 5.0):
        self._write = write
        self._period = period
        self._last: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def __call__(self, key: str, text: str):
        """Logs the text unless its key was logged within the period; adds how many were left out since."""
        now = time.monotonic()
        if now - self._last.get(key, -self._period) < self._period:
            self._suppressed[key] = self._suppressed.get(key, 0) + 1
            return
        self._last[key] = now
        left_out = self._suppressed.pop(key, 0)
        self._write(text + (f" ({left_out} more in between)" if left_out else ""))
