"""The question whose targets are followed, in the inference thread; no rclpy."""

import itertools
from collections.abc import Callable

import numpy as np

from lisa_ros.nodes.common.stamps import SECOND
from lisa_ros.nodes.perception.queries.query import Query
from lisa_ros.tracking import FlowTracker, TargetFollower
from lisa_ros.types import SegmentationResult


class FollowedQuestions:
    """Follows one question at a time: another one begins anew, with other ids."""

    def __init__(self):
        self._ids = itertools.count(1)
        self._follower: TargetFollower | None = None
        self._question: tuple[str, float] | None = None  # `followed_as`, interval
        self._answer_stamp = 0

    def forget(self):
        """Ends following; ids are not used again."""
        self._follower = self._question = None

    def result(
        self, query: Query, image: np.ndarray, ask: Callable[[], SegmentationResult]
    ) -> tuple[SegmentationResult, int]:
        """The targets in the query's frame, and the stamp, ns, of the image that the model answered about.

        image: (H, W, 3) uint8 RGB, that frame's. ask() gives the model's answer about it, and is called where one is
        due.
        """
        request, stamp = query.request, query.frame.stamp
        question = request.followed_as, request.parameters.follow_interval
        if self._follower is None or question != self._question:
            self._question = question
            self._follower = TargetFollower(FlowTracker(), request.parameters.follow_interval, self._ids)
        result = self._follower.follow(image, stamp / SECOND)
        if result is None:
            result = self._follower.accept(image, stamp / SECOND, ask())
            self._answer_stamp = stamp
        return result, self._answer_stamp
