"""Scores in space: the cloud against the true points, and whether two answers mean the same surface."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from lisa_ros.evaluation.metrics import Choice, Overlap
from lisa_ros.geometry import CameraModel
from lisa_ros.geometry.masks import at_size
from lisa_ros.scannet.annotations import UNANNOTATED
from lisa_ros.scannet.truth import MIN_VISIBLE

DISTANCES = (0.02, 0.05)  # m
_SAME_SURFACE = 0.02  # m along the ray by which a point may miss the other frame's depth and still be what it sees
COVERED = 0.5  # of an object's visible pixels, from which on a mask chooses it


@dataclass(frozen=True)
class CloudScore:
    """centroid_error: m between the means of the points.

    precision: share of the points within each of DISTANCES of a true one; recall: share of the true points within it
    of a point.
    """

    centroid_error: float
    precision: tuple[float, ...]
    recall: tuple[float, ...]


@dataclass(frozen=True)
class FrameView:
    """A frame as geometry sees it. image: (H, W, 3) uint8 RGB. depth: (h, w) float32 m. camera: of the image.

    pose: (4, 4) world <- optical frame, None where it is not known.
    """

    image: np.ndarray
    depth: np.ndarray
    camera: CameraModel
    pose: np.ndarray | None = None

    @classmethod
    def of(cls, frame) -> "FrameView | None":
        """Of an `RgbdFrame`; None where it has no depth."""
        depth = frame.depth()
        return None if depth is None else cls(frame.color(), depth, frame.camera, frame.pose)


def true_points(mask: np.ndarray, view: FrameView) -> np.ndarray | None:
    """(N, 3) float32 m in the optical frame: what the depth camera saw of a mask (H, W) bool; None for nothing."""
    height, width = view.depth.shape
    rows, columns = np.nonzero(at_size(mask, view.depth.shape) & (view.depth > 0) & (view.depth < np.inf))
    if not len(rows):
        return None
    points = view.camera.scaled(width, height).back_project(rows, columns, view.depth[rows, columns])
    return points.astype(np.float32)


def score_cloud(points: np.ndarray, truth: np.ndarray) -> CloudScore:
    """Scores points (N, 3) against true points (M, 3), both in m and in one frame; N, M > 0."""
    centroid_error = float(np.linalg.norm(points.mean(axis=0, dtype=float) - truth.mean(axis=0, dtype=float)))
    to_truth, to_points = _distances(points, truth), _distances(truth, points)
    precision, recall = (tuple(float((d <= limit).mean()) for limit in DISTANCES) for d in (to_truth, to_points))
    return CloudScore(centroid_error, precision, recall)


def agreement(first: np.ndarray, before: FrameView, second: np.ndarray, after: FrameView) -> Overlap | None:
    """How far two masks (H, W) bool of two frames mean the same surface, over the points that both frames see.

    Every pixel of the first frame is moved into the second one by its depth and the two poses; those that are hidden
    or outside there are left out. So a moving camera alone does not count as a change. None where a pose is missing or
    the frames share no surface.
    """
    if before.pose is None or after.pose is None:
        return None
    rows, columns = np.nonzero(before.depth > 0)
    height, width = before.depth.shape
    points = before.camera.scaled(width, height).back_project(rows, columns, before.depth[rows, columns])
    motion = np.linalg.inv(after.pose) @ before.pose
    points = points @ motion[:3, :3].T + motion[:3, 3]
    there, seen = _pixels(points, after)
    if not seen.any():
        return None
    chosen = at_size(first, before.depth.shape)[rows[seen], columns[seen]]
    chosen_there = at_size(second, after.depth.shape)[there[:, 1], there[:, 0]]
    both, either = np.count_nonzero(chosen & chosen_there), np.count_nonzero(chosen | chosen_there)
    return Overlap(int(both), int(either), bool(chosen.any()), bool(chosen_there.any()))


def _pixels(points: np.ndarray, view: FrameView) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (M, 2) of the depth image where points (N, 3) are seen, and which points those are: (N,) bool."""
    height, width = view.depth.shape
    seen = points[:, 2] > 0
    pixels = np.rint(view.camera.scaled(width, height).project(points[seen])).astype(int)
    inside = ((pixels >= 0) & (pixels < (width, height))).all(axis=1)
    seen[seen] = inside
    pixels = pixels[inside]
    near = np.abs(view.depth[pixels[:, 1], pixels[:, 0]] - points[seen, 2]) <= _SAME_SURFACE
    seen[seen] = near
    return pixels[near], seen


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) m to the nearest of the others."""
    import open3d

    clouds = [open3d.geometry.PointCloud(open3d.utility.Vector3dVector(p.astype(float))) for p in (points, others)]
    return np.asarray(clouds[0].compute_point_cloud_distance(clouds[1]))


def choice_of(mask: np.ndarray | None, instances: np.ndarray, object_ids: Collection[int]) -> Choice:
    """Chosen are the objects of which the mask covers at least half, right those of `object_ids` that are in view.

    mask: (H, W) bool, None for nothing. instances: (H, W) uint8, objectId + 1 or 0. Candidates are the right objects,
    and of the others those that cover as much of the image as an object must to be asked about.
    """
    areas = np.bincount(instances.ravel(), minlength=256)
    covered = np.zeros_like(areas) if mask is None else np.bincount(instances[mask], minlength=256)
    right = {number for number in object_ids if areas[number + 1]}
    large = set((np.flatnonzero(areas >= MIN_VISIBLE * instances.size) - 1).tolist()) - {UNANNOTATED - 1}
    chosen = {number for number in right | large if covered[number + 1] >= COVERED * areas[number + 1]}
    return Choice.of(chosen, right)
