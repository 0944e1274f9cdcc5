"""The way for a robot's program in Python to ask a perception node: `PerceptionClient`. Needs rclpy, not torch."""

from lisa_ros.client.follow_handle import FollowedFrame, FollowHandle
from lisa_ros.client.perception_client import PerceptionClient
from lisa_ros.client.query_handle import QueryHandle
from lisa_ros.client.results import (
    PerceptionResult,
    PerceptionTarget,
    PointCloud,
    QueryFeedback,
    QueryStage,
    QueryStatus,
    TargetLocation,
)

__all__ = [
    "FollowHandle",
    "FollowedFrame",
    "PerceptionClient",
    "PerceptionResult",
    "PerceptionTarget",
    "PointCloud",
    "QueryFeedback",
    "QueryHandle",
    "QueryStage",
    "QueryStatus",
    "TargetLocation",
]
