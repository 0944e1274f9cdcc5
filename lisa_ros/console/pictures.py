"""The page's pictures: the live image, and masks over the frame that was asked about. uint8 RGB."""

import cv2
import numpy as np

from lisa_ros.console.state import QueryRecord
from lisa_ros.types import SegmentationResult
from lisa_ros.visualization import draw_overlay

WIDEST = 960  # pixels that are sent; the page shows no more
_UNKNOWN = 40  # grey of a frame that did not reach the console


def fitted(image: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) at no more than `WIDEST` pixels a row."""
    height, width = image.shape[:2]
    if width <= WIDEST:
        return image
    return cv2.resize(image, (WIDEST, max(1, round(height * WIDEST / width))), interpolation=cv2.INTER_AREA)


def stale(image: np.ndarray) -> np.ndarray:
    """The same without colour and darker: it is no live image any more."""
    grey = cv2.cvtColor(fitted(image), cv2.COLOR_RGB2GRAY) // 2
    return np.repeat(grey[..., None], 3, axis=2)


def answer_picture(record: QueryRecord) -> np.ndarray | None:
    """The frame of a query with its masks; the masks alone where it is not there; None where there is neither."""
    image = record.image
    if image is None:
        masks = [target.mask for target in record.targets if target.mask.size]
        if not masks:
            return None
        image = np.full((*masks[0].shape, 3), _UNKNOWN, np.uint8)
    drawn = tuple(target for target in record.targets if target.mask.shape == image.shape[:2])
    if not drawn:
        return fitted(image)
    return fitted(draw_overlay(image, SegmentationResult("", "", drawn)))
