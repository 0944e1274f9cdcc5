"""Upright boxes: the smallest rectangle in the support's plane, and heights above it."""

from dataclasses import dataclass

import cv2
import numpy as np

from lisa_ros.geometry.report import SupportPlane

_SCALE = 1e4  # cv2.minAreaRect counts in pixels and float32: its absolute thresholds are far below any sensor's noise


@dataclass(frozen=True)
class UprightBox:
    """center (3,) m. rotation (3, 3): columns are the longer horizontal axis, the shorter one, up. extents (3,) m."""

    center: np.ndarray
    rotation: np.ndarray
    extents: np.ndarray


def plane_axes(normal: np.ndarray) -> np.ndarray:
    """(3, 2): two unit vectors across a unit normal."""
    return np.linalg.svd(normal[None])[2][1:].T


def rectangle_angle(flat: np.ndarray) -> float:
    """Angle in rad of a side of the smallest rectangle around points (N, 2), in m."""
    _, _, degrees = cv2.minAreaRect(np.ascontiguousarray((flat - flat.mean(axis=0)) * _SCALE, dtype=np.float32))
    return float(np.radians(degrees))


def upright_box(
    horizontal: np.ndarray, low: np.ndarray, high: np.ndarray, support: SupportPlane, bottom: float, top: float
) -> UprightBox:
    """horizontal: (3, 2) unit axes across the support's normal; low, high: (2,) m, the object's ends along them.

    bottom, top: heights in m above the support.
    """
    if high[1] - low[1] > high[0] - low[0]:
        horizontal, low, high = horizontal[:, ::-1], low[::-1], high[::-1]
    center = horizontal @ ((low + high) / 2) + support.normal * (support.offset + (bottom + top) / 2)
    first = canonical(horizontal[:, 0])
    rotation = np.column_stack([first, np.cross(support.normal, first), support.normal])
    return UprightBox(center, rotation, np.array([*(high - low), top - bottom]))


def canonical(axis: np.ndarray) -> np.ndarray:
    """The one of an axis and its opposite whose largest component is positive."""
    return axis * np.sign(axis[np.argmax(np.abs(axis))])
