"""The right mask of a query in a frame, and the pixels that must not be scored."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from lisa_ros.errors import RecordingError
from lisa_ros.geometry.masks import labels_of
from lisa_ros.scannet.annotations import UNANNOTATED, Annotation
from lisa_ros.scannet.scene_queries import SceneQuery

MIN_VISIBLE = 0.002  # share of the image below which an object is too small to be asked about
BOUNDARY = 3  # px: annotations are projections of a mesh, a few pixels off at the edges
WIDEST_BOUNDARY = 50  # px: the time that it takes grows with its square, and little is left to score


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """Truth of one query in one frame, at the colour image's size.

    mask: (H, W) bool, all False for a negative query. ignore: (H, W) bool, pixels left out of the score: not annotated,
    or within BOUNDARY px of the mask's edge.
    """

    frame: int
    mask: np.ndarray
    ignore: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """(H, W) uint8 as `SegmentationMetrics.add` takes it: 1 target, 0 not, 255 ignored."""
        return labels_of(self.mask, self.ignore)


def frame_truth(
    annotation: Annotation,
    query: SceneQuery,
    frame: int,
    pose: np.ndarray | None,
    size: tuple[int, int],
    min_visible: float = MIN_VISIBLE,
    boundary: int = BOUNDARY,
) -> FrameTruth | None:
    """The truth, or None where the frame says nothing about the query: no pose, or the objects are hardly in view.

    pose: of the camera in this frame, None where it is not known (then the annotation was not projected). size: (width,
    height) of the colour image, to which annotation images of another size are brought by the nearest pixel.
    min_visible: share of the image that the objects must cover. boundary: px. Raises RecordingError.
    """
    if pose is None:
        return None
    instances = resize_nearest(annotation.instances(frame), size)
    unknown = sorted(set(query.object_ids) - set(annotation.objects))
    if unknown:
        raise RecordingError(f"query {query.query_id!r}: {annotation.scene} has no objects {unknown}")
    mask = np.isin(instances, [number + 1 for number in query.object_ids])
    if query.object_ids and np.count_nonzero(mask) < min_visible * mask.size:
        return None
    return FrameTruth(frame, mask, (instances == UNANNOTATED) | boundary_band(mask, boundary))


def visible_objects(annotation: Annotation, frames: Iterable[int], min_visible: float = MIN_VISIBLE) -> set[int]:
    """The objects that cover at least a share of the image in some of these frames. Raises RecordingError."""
    found = set()
    for frame in frames:
        counts = np.bincount(annotation.instances(frame).ravel(), minlength=256)
        found |= set((np.flatnonzero(counts >= min_visible * counts.sum()) - 1).tolist())
    return found - {UNANNOTATED - 1}


def boundary_band(mask: np.ndarray, radius: int) -> np.ndarray:
    """(H, W) bool: pixels within `radius` px of the edge of a mask, on both sides; the image's border is no edge."""
    if radius <= 0 or not mask.any():
        return np.zeros_like(mask)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    pixels = mask.astype(np.uint8)
    return cv2.dilate(pixels, disc) != cv2.erode(pixels, disc)


def resize_nearest(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image of ids (H, W) at another (width, height): the value of the nearest pixel, none is mixed."""
    if image.shape == (size[1], size[0]):
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST_EXACT)
