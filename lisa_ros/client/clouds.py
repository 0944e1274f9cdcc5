"""Finds the clouds of a result among those that the node publishes for everybody."""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import PointCloud2

from lisa_ros.client.conversion import nanoseconds, read_cloud
from lisa_ros.client.results import PerceptionResult, PointCloud

_KEPT = 8  # clouds of a topic; those of queries that wait for theirs, and of what others ask meanwhile
_QOS = QoSProfile(depth=_KEPT, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
_TOLERANCE = 1e-3  # m between a centroid that the result tells and that of the points


class CloudBuffer:
    """The newest messages of `points`, and of `scene_points` if wanted.

    A cloud tells of its image and not of its query, and several queries may be about one image. So the points of a
    result are those of its image that have as many points for each of its targets as it says, with the centroids that
    it says. With each cloud of points that is not empty the node publishes one of the scene: they belong together as
    they follow one another on their topics, though either may come first.
    """

    def __init__(self, node: Node, prefix: str, group: CallbackGroup, with_scene: bool, on_cloud: Callable[[], None]):
        """Subscribes.

        Args:
            node: The client's node.
            prefix: Namespace of the perception node with a slash at its end.
            group: Callback group of the subscriptions, of the kind that runs one callback at a time.
            with_scene: Whether to take `scene_points`, which the node makes for its subscribers alone.
            on_cloud: Called after each message.
        """
        self._node, self._on_cloud = node, on_cloud
        self._points = _NumberedClouds()
        self._scenes = _NumberedClouds() if with_scene else None
        self._subscriptions = [self._subscribe(f"{prefix}points", self._points, group)]
        if with_scene:
            self._subscriptions.append(self._subscribe(f"{prefix}scene_points", self._scenes, group))

    def _subscribe(self, topic: str, clouds: "_NumberedClouds", group: CallbackGroup) -> Subscription:
        def on_message(message: PointCloud2):
            if clouds is self._scenes or message.width:
                clouds.add(message)
                self._on_cloud()

        return self._node.create_subscription(PointCloud2, topic, on_message, _QOS, callback_group=group)

    def close(self):
        """Removes the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def complete(self, result: PerceptionResult) -> PerceptionResult | None:
        """The result with its clouds; None where they are not there yet.

        Args:
            result: Has at least one target with a location.
        """
        for number, message in self._points.of_image(result.stamp):
            cloud = read_cloud(message)
            if not _belongs(cloud, result):
                continue
            if self._scenes is None:
                return replace(result, cloud=cloud)
            scene = dict(self._scenes.of_image(result.stamp)).get(number)
            return None if scene is None else replace(result, cloud=cloud, scene_cloud=read_cloud(scene))
        return None


class _NumberedClouds:
    """The newest messages of one topic; those of one image are numbered as they come."""

    def __init__(self):
        self._clouds: deque[tuple[int, int, PointCloud2]] = deque(maxlen=_KEPT)
        self._counts: OrderedDict[int, int] = OrderedDict()

    def add(self, message: PointCloud2):
        stamp = nanoseconds(message.header.stamp)
        number = self._counts.pop(stamp, 0)
        self._counts[stamp] = number + 1
        if len(self._counts) > _KEPT:
            self._counts.popitem(last=False)
        self._clouds.append((stamp, number, message))

    def of_image(self, stamp: int) -> list[tuple[int, PointCloud2]]:
        """Number and message, the newest first."""
        return [(number, message) for other, number, message in reversed(self._clouds) if other == stamp]


def _belongs(cloud: PointCloud, result: PerceptionResult) -> bool:
    located = {index: target.location for index, target in enumerate(result.targets) if target.location}
    if cloud.targets is None or any(place.frame_id != cloud.frame_id for place in located.values()):
        return False
    indices, counts = np.unique(cloud.targets, return_counts=True)
    if dict(zip(indices.tolist(), counts.tolist(), strict=True)) != {i: at.point_count for i, at in located.items()}:
        return False
    return all(
        np.abs(cloud.points[cloud.targets == index].mean(axis=0, dtype=np.float64) - place.centroid).max() < _TOLERANCE
        for index, place in located.items()
    )
