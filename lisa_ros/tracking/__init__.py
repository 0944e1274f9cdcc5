"""Targets of an answer followed from image to image, with an id each, until the model is asked again."""

from lisa_ros.tracking.flow_tracker import FlowTracker
from lisa_ros.tracking.mask_tracker import MaskTracker, TrackedMask
from lisa_ros.tracking.target_follower import TargetFollower
from lisa_ros.tracking.trackers import FLOW, TRACKERS, check_tracker, tracker_factory

__all__ = [
    "FLOW",
    "TRACKERS",
    "FlowTracker",
    "MaskTracker",
    "TargetFollower",
    "TrackedMask",
    "check_tracker",
    "tracker_factory",
]
