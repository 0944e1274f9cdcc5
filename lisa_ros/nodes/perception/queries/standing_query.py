"""When the standing query is asked again. No rclpy."""

from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame


class StandingQuery:
    """What stands is asked once about each newest frame, until it is rejected.

    That is the text of the parameter `standing_query`, or the query_id of a followed goal.
    """

    def __init__(self):
        self._text = ""
        self._is_rejected = False
        self._stamp = 0  # of the frame that it was asked about last

    def is_open(self, text: str) -> bool:
        """Whether the text or query_id, as it is now, may be asked at all."""
        if text != self._text:
            self._text, self._is_rejected, self._stamp = text, False, 0
        return bool(text) and not self._is_rejected

    def is_due(self, newest: CameraFrame) -> bool:
        """Whether the text was not asked about this frame yet; from now on it was."""
        is_new, self._stamp = self._stamp != newest.stamp, newest.stamp
        return is_new

    def note_rejected(self):
        """The text was rejected: once is enough."""
        self._is_rejected = True
