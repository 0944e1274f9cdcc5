"""Which of the scene's objects a mask chooses: the annotated objects of a frame are the candidates."""

from collections.abc import Collection

import numpy as np

from lisa_ros.evaluation.metrics import Choice
from lisa_ros.scannet.annotations import UNANNOTATED
from lisa_ros.scannet.truth import MIN_VISIBLE

COVERED = 0.5  # of an object's visible pixels, from which on a mask chooses it


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
