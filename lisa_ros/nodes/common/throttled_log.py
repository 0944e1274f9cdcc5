"""A log that says each thing at most once in a while."""

import time
from collections.abc import Callable


class ThrottledLog:
    """rclpy throttles by source line and looks the line up at every call; here a key does it.

    write: logs a text in a source line of its own, as `lambda text: logger.warning(text)` does: rclpy raises ValueError
    where one line logs with two severities, and here that line would be shared. period: s between two lines of one key.
    """

    def __init__(self, write: Callable[[str], None], period: float = 5.0):
        self._write = write
        self._period = period
        self._last: dict[str, float] = {}
        self._silenced: dict[str, int] = {}

    def __call__(self, key: str, text: str):
        """Writes the text unless its key was written a short time ago; says how many were left out."""
        now = time.monotonic()
        if now - self._last.get(key, -self._period) < self._period:
            self._silenced[key] = self._silenced.get(key, 0) + 1
            return
        self._last[key] = now
        left_out = self._silenced.pop(key, 0)
        self._write(text + (f" ({left_out} more in between)" if left_out else ""))
