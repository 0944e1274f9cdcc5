"""The plain recipe beside: the mask's points, statistical outlier removal, Open3D's box by principal axes."""

import numpy as np

from lisa_ros.errors import NoDepthError
from lisa_ros.evaluation.geometry.boxes import OrientedBox
from lisa_ros.geometry import CameraModel
from lisa_ros.geometry.masks import at_size

_NEIGHBOURS, _DEVIATIONS = 20, 2.0  # of Open3D's tutorial


def plain_box(mask: np.ndarray, depth_m: np.ndarray, camera: CameraModel) -> tuple[OrientedBox, np.ndarray]:
    """Box and points (N, 3) m in the optical frame.

    mask: (H, W) bool. depth_m: (h, w) float m, 0 = none. camera: of the mask's image. Raises NoDepthError.
    """
    import open3d

    height, width = depth_m.shape
    rows, columns = np.nonzero(at_size(mask, depth_m.shape) & (depth_m > 0))
    points = camera.scaled(width, height).back_project(rows, columns, depth_m[rows, columns])
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    if len(points) > _NEIGHBOURS:
        cloud, _ = cloud.remove_statistical_outlier(_NEIGHBOURS, _DEVIATIONS)
    try:
        box = cloud.get_oriented_bounding_box()
    except RuntimeError as error:  # fewer than four points, or all in one plane to Qhull's precision
        raise NoDepthError(f"Open3D makes no box of {len(cloud.points)} points") from error
    return OrientedBox(np.asarray(box.center), np.asarray(box.R), np.asarray(box.extent)), np.asarray(cloud.points)
