"""The action goal whose targets are followed. No rclpy."""

import time
import uuid
from collections.abc import Callable
from dataclasses import replace

from lisa_ros.msg import SegmentationResult as Result
from lisa_ros.nodes.perception.queries.query import STANDING, Query

_SEEN = (Result.OK, Result.NO_TARGET, Result.NO_DEPTH, Result.NO_TRANSFORM)


class FollowedGoal:
    """At most one goal is followed: while it lives it takes the place of the standing query.

    Attributes:
        query: The goal; None without one.
    """

    def __init__(self):
        self.query: Query | None = None
        self._heard = 0.0  # of a frame, or of something that took precedence; s, perf_counter
        self._frames = 0

    def begin(self, query: Query):
        """Follows this goal from now on; the one before has its result already."""
        self.query, self._frames = query, 0
        self.note_busy()

    def note_busy(self):
        """Something else is asked: it is not the camera's fault that no frame is followed."""
        self._heard = time.perf_counter()

    def next_query(self, received: int, end: Callable[[Query, int, str], None]) -> Query:
        """What is asked about the newest frame. Its result is the goal's feedback.

        received: ns, node clock. end(goal, status, message) is called where it shows that the goal cannot go on.
        """
        goal = self.query
        request = replace(
            goal.request,
            source=STANDING,
            received=received,
            query_id=uuid.uuid4().hex[:12],
            follow=False,
            followed_as=goal.request.query_id,
        )
        return Query(request, on_result=lambda result: self._on_frame(goal, result, end))

    def _on_frame(self, goal: Query, result: Result, end: Callable):
        if goal.is_done or result.status == Result.NO_IMAGE:  # one bad image; without a good one `overdue` tells it
            return
        self.note_busy()
        if result.status in _SEEN:
            self._frames += 1
            if goal.on_followed is not None:
                goal.on_followed(result)
        elif result.status != Result.CANCELLED:  # a query of somebody else goes before it
            end(goal, result.status, result.message)

    def overdue(self, why_none: Callable[[Query], str]) -> str:
        """Why the goal ends for want of images; "" where it does not. why_none(query): the reason if none came at all.

        To be called while nothing is asked.
        """
        goal = self.query
        if goal is None:
            return ""
        waited, limit = time.perf_counter() - self._heard, goal.request.parameters.image_timeout
        if waited <= limit:
            return ""
        if not self._frames:
            return why_none(goal)
        return (
            f"no new image for {waited:.1f} s (image_timeout is {limit:g} s) after {self._frames} were followed: the "
            "camera stopped; send the goal again when it is back"
        )
