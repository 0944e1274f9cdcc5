"""The poses of one query, taken when its image is, because TF forgets. No rclpy."""

from collections.abc import Callable

from lisa_ros.errors import NoTransformError
from lisa_ros.nodes.perception.queries.query import Query


def freeze_poses(query: Query, earlier: Query | None, find_pose: Callable, find_depth_pose: Callable):
    """Sets pose and depth_pose of a query whose frame is known, or leaves it to the worker to look again.

    earlier: a query about the same image. find_pose(frame, parameters), find_depth_pose: as of `CameraTransforms`.
    """
    frame, parameters = query.frame, query.parameters
    query.find_pose = lambda: find_pose(frame, parameters)
    query.find_depth_pose = lambda: find_depth_pose(frame, parameters)
    if earlier and earlier.depth_pose is not None and earlier.parameters.depth_pose == parameters.depth_pose:
        query.depth_pose, query.find_depth_pose = earlier.depth_pose, None
    if earlier and earlier.pose is not None and earlier.parameters.target_frame == parameters.target_frame:
        query.pose, query.find_pose = earlier.pose, None  # by now TF may have forgotten it
    # TF of the newest image is often a little late: the worker looks again when it needs the pose.
    for name in ("pose", "depth_pose"):
        find = getattr(query, f"find_{name}")
        if find is None:
            continue
        try:
            setattr(query, name, find())
        except NoTransformError:
            continue
        setattr(query, f"find_{name}", None)
