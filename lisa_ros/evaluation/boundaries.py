"""How well a mask's edge lies on that of the truth: precision and recall of edge pixels within a few pixels."""

import cv2
import numpy as np

TOLERANCE = 2  # px


def boundary_f(prediction: np.ndarray, truth: np.ndarray, tolerance: int = TOLERANCE) -> float:
    """F measure of the edges of two masks, as video segmentation has it (Perazzi et al., 2016).

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.
        tolerance: Edge pixels of one mask count as found if one of the other's lies within so many pixels.

    Returns:
        From 0 to 1; 1 where both masks are empty, 0 where one is.

    Raises:
        ValueError: The masks have different sizes.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"the prediction has {prediction.shape}, the truth {truth.shape}")
    edges = [_edge(mask) for mask in (prediction, truth)]
    counts = [np.count_nonzero(edge) for edge in edges]
    if not all(counts):
        return float(counts == [0, 0])
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tolerance + 1, 2 * tolerance + 1))
    near = [cv2.dilate(edge, kernel) > 0 for edge in edges]
    precision = np.count_nonzero((edges[0] > 0) & near[1]) / counts[0]
    recall = np.count_nonzero((edges[1] > 0) & near[0]) / counts[1]
    both = precision + recall
    return 2 * precision * recall / both if both else 0.0


def _edge(mask: np.ndarray) -> np.ndarray:
    """(H, W) uint8: pixels of the mask that have a neighbour outside; the image's border is no edge."""
    inside = mask.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return inside & ~cv2.erode(inside, cross, borderType=cv2.BORDER_REPLICATE)
