"""Candidate masks of an image -> AlphaCLIP's embeddings of them."""

import cv2
import numpy as np
from torch import Tensor

from lisa_ros.model.elisa.alphaclip import AlphaClipTower
from lisa_ros.model.preprocess import CLIP_MEAN

SQUARE = 1024  # side to which the official code squashes images and masks, px
_GREY = np.asarray(np.round(np.asarray(CLIP_MEAN) * 255), np.uint8)  # what CLIP's normalisation makes zero


def embed_masks(tower: AlphaClipTower, image: np.ndarray, masks: np.ndarray, *, letterbox: bool = True) -> Tensor:
    """Embeddings of length 1 of candidate masks.

    Args:
        tower: AlphaCLIP.
        image: (H, W, 3) uint8 RGB.
        masks: (K, h, w) bool, at the image's size or another one.
        letterbox: Puts image and masks into a square, with grey around. False squashes both to one, as the official
            code does. CLIP crops what is not square, while masks are squashed: they would not lie on each other.

    Returns:
        (K, D) float32 on the tower's device.
    """
    if letterbox:
        seen = [_framed(_resized(mask.astype(np.uint8), *image.shape[:2]), np.uint8(0)) == 1 for mask in masks]
        return tower.embed(_framed(image, _GREY), seen)
    return tower.embed(squash_image(image), [squash_mask(mask) for mask in masks])


def squash_image(image: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) uint8 at (SQUARE, SQUARE, 3)."""
    return cv2.resize(image, (SQUARE, SQUARE))


def squash_mask(mask: np.ndarray) -> np.ndarray:
    """A mask (h, w) bool at (SQUARE, SQUARE) uint8, between 0 and 255 at its edge."""
    values = mask.astype(np.uint8) * 255
    return values if mask.shape == (SQUARE, SQUARE) else cv2.resize(values, (SQUARE, SQUARE))


def resized_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask (h, w) bool at the size of its image."""
    return _resized(mask.astype(np.uint8), height, width) == 1


def _resized(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    if mask.shape == (height, width):
        return mask
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)


def _framed(pixels: np.ndarray, fill: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    side = max(height, width)
    framed = np.empty((side, side, *pixels.shape[2:]), np.uint8)
    framed[:] = fill
    top, left = (side - height) // 2, (side - width) // 2
    framed[top : top + height, left : left + width] = pixels
    return framed
