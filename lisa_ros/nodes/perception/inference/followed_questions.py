"""The question whose targets are followed, in the inference thread; no rclpy."""

import itertools
from collections.abc import Callable

import numpy as np

from lisa_ros.nodes.common.stamps import SECOND
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.nodes.perception.queries.query import Query
from lisa_ros.tracking import FLOW, FlowTracker, MaskTracker, TargetFollower, tracker_factory
from lisa_ros.types import SegmentationResult


class FollowedQuestions:
    """Follows one question at a time: another one begins anew, with other ids."""

    def __init__(self):
        self._ids = itertools.count(1)
        self._new_tracker: Callable[[], MaskTracker] = FlowTracker
        self._follower: TargetFollower | None = None
        self._question: tuple[str, float] | None = None  # `followed_as`, interval
        self._answer_stamp = 0

    def load(self, parameters: PerceptionParameters):
        """Loads the weights of the tracker, where it has some. Raises as `tracker_factory`."""
        name, device = parameters.follow_tracker, None
        if name != FLOW:
            from lisa_ros.inference.precision import resolve_device  # torch, which an engine may do without

            device = resolve_device(parameters.device)
        self._new_tracker = tracker_factory(name, parameters.follow_model, device)

    def unload(self):
        """Ends following and frees the weights; ids are not used again."""
        self._follower = self._question = None
        self._new_tracker = FlowTracker

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
            self._follower = TargetFollower(self._new_tracker(), request.parameters.follow_interval, self._ids)
        result = self._follower.follow(image, stamp / SECOND)
        if result is None:
            result = self._follower.accept(image, stamp / SECOND, ask())
            self._answer_stamp = stamp
        return result, self._answer_stamp
