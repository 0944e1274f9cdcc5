"""A published cloud against the true points."""

import numpy as np

DISTANCES = (0.02, 0.05)  # m


def true_points(mask: np.ndarray, depth_m: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(N, 3) float32 m in the camera's optical frame: the pixels of a mask with valid depth.

    mask: (H, W) bool; depth_m: (h, w) float32, 0 = invalid; intrinsics: (3, 3) of the depth image, to whose size the
    mask is brought by the nearest pixel.
    """
    height, width = depth_m.shape
    rows = (np.arange(height) * mask.shape[0]) // height
    columns = (np.arange(width) * mask.shape[1]) // width
    v, u = np.nonzero(mask[np.ix_(rows, columns)] & (depth_m > 0))
    z = depth_m[v, u]
    x = (u - intrinsics[0, 2]) * z / intrinsics[0, 0]
    y = (v - intrinsics[1, 2]) * z / intrinsics[1, 1]
    return np.stack([x, y, z], axis=1).astype(np.float32)


def cloud_scores(points: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """How well a cloud (N, 3) shows the true points (M, 3), both in m and in one frame.

    centroid_error: m. precision_2cm: share of the cloud within 2 cm of a true point; recall_2cm: share of the true
    points within 2 cm of the cloud; likewise at 5 cm. {} where either has no points.
    """
    if not len(points) or not len(truth):
        return {}
    import open3d

    cloud, right = (open3d.geometry.PointCloud(open3d.utility.Vector3dVector(p.astype(float))) for p in (points, truth))
    to_truth = np.asarray(cloud.compute_point_cloud_distance(right))
    to_cloud = np.asarray(right.compute_point_cloud_distance(cloud))
    scores = {"centroid_error": float(np.linalg.norm(points.mean(0) - truth.mean(0)))}
    for distance in DISTANCES:
        name = f"{round(distance * 100)}cm"
        scores[f"precision_{name}"] = float((to_truth <= distance).mean())
        scores[f"recall_{name}"] = float((to_cloud <= distance).mean())
    return scores
