"""From a mask to the points of its object: what is no surface, a leak of the background or stray is left out."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.errors import NoDepthError
from lisa_ros.geometry.camera import CameraModel
from lisa_ros.geometry.masks import at_size, bounding_box, large_parts, nearest_index
from lisa_ros.geometry.options import CloudOptions
from lisa_ros.geometry.surfaces import (
    JUMP_SIGMAS,
    flying_pixels,
    label_surfaces,
    noise_of,
    smoothed,
    stray_pixels,
    surface_facts,
)

_NOISE_FLOOR = 0.0007  # m at 1 m: no depth camera is better
_SMOOTHING = 2  # pixels to every side
_SMOOTHED_FROM = 0.5  # footprints of noise
_LEAKING = 0.5  # share of a small surface's rim over which it goes on outside of the mask


@dataclass(frozen=True)
class View:
    """A depth image with its colours, as all targets of an answer share it.

    depth: (h, w) float32 m. image: (H, W, 3) uint8 RGB. camera: of the depth image. valid, usable: (h, w) bool, where
    there is depth, and where it is in range. noise: standard deviation of depth at 1 m, in m.
    """

    depth: np.ndarray
    image: np.ndarray
    camera: CameraModel
    valid: np.ndarray
    usable: np.ndarray
    noise: float

    @classmethod
    def of(cls, depth_m: np.ndarray, image_rgb: np.ndarray, camera: CameraModel, options: CloudOptions) -> "View":
        """camera: of the colour image."""
        depth = np.asarray(depth_m, dtype=np.float32)
        # NaN compares false; max_range is finite, so Inf does too.
        valid = (depth > 0) & (depth < np.inf)
        usable = valid & (depth >= options.min_range) & (depth <= options.max_range)
        noise = max(_NOISE_FLOOR, noise_of(depth, usable))
        return cls(depth, image_rgb, camera.scaled(depth.shape[1], depth.shape[0]), valid, usable, noise)

    @property
    def footprint(self) -> float:
        """Size of a pixel at 1 m, in m."""
        return 1.0 / self.camera.fx

    def points(self, chosen: np.ndarray, depth_m: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Points (N, 3) float64 m and colours (N, 3) uint8 of the pixels `chosen` (h, w) bool.

        depth_m: (h, w), to be taken instead of the view's.
        """
        height, width = self.depth.shape
        rows, columns = np.nonzero(chosen)
        depth = (self.depth if depth_m is None else depth_m)[rows, columns]
        image_rows, image_columns = (
            nearest_index(height, self.image.shape[0]),
            nearest_index(width, self.image.shape[1]),
        )
        points = self.camera.back_project(rows, columns, depth)
        return points, self.image[image_rows[rows], image_columns[columns]]


@dataclass(frozen=True)
class CleanTarget:
    """The pixels of a target that were measured well.

    mask: (h, w) bool, the target's pixels at the size of the depth image. kept: (h, w) bool, those of them with good
    depth. depth: (h, w) float32 m, of the pixels kept, with less noise. coverage: share of the mask that has depth.
    """

    mask: np.ndarray
    kept: np.ndarray
    depth: np.ndarray
    coverage: float


def clean_target(mask: np.ndarray, view: View, options: CloudOptions) -> CleanTarget:
    """The good pixels of a mask (H, W) bool. Raises NoDepthError with the reason where they are too few."""
    mask = at_size(mask, view.depth.shape)
    chosen = large_parts(mask, options.min_component_share) & view.usable
    kept, depth = np.zeros_like(chosen), np.zeros_like(view.depth)
    if chosen.sum() >= options.min_points:
        box = bounding_box(chosen, margin=2)
        kept[box], depth[box] = _surface(mask[box], chosen[box], view, box, options)
    if kept.sum() < options.min_points:
        raise NoDepthError(_why_empty(mask, chosen, kept, view, options))
    return CleanTarget(mask, kept, depth, float(view.valid[mask].mean()))


def _surface(mask, chosen, view: View, box, options: CloudOptions) -> tuple[np.ndarray, np.ndarray]:
    depth, valid = np.ascontiguousarray(view.depth[box]), np.ascontiguousarray(view.valid[box])
    chosen = np.ascontiguousarray(chosen)
    slope = (options.jump_footprints or np.inf) * view.footprint
    spread = JUMP_SIGMAS * view.noise
    kept = chosen & ~flying_pixels(depth, valid, chosen, slope, spread)
    labels = label_surfaces(depth, kept, slope, spread)
    kept &= ~_leaks(depth, valid, np.ascontiguousarray(mask), labels, slope, spread)[labels]
    if options.outlier_neighbours:
        kept &= ~stray_pixels(depth, kept, view.footprint, options.outlier_neighbours, options.outlier_radius)
    if not kept.any() or view.noise * np.median(depth[kept]) < _SMOOTHED_FROM * view.footprint:
        return kept, np.where(kept, depth, np.float32(0))
    return kept, smoothed(depth, np.where(kept, labels, 0), slope, spread, _SMOOTHING)


def _leaks(depth, valid, mask, labels, slope, spread) -> np.ndarray:
    """(count + 1,) bool: surfaces that are another's, which goes on outside of the mask; the largest is never one."""
    count = int(labels.max())
    facts = surface_facts(depth, valid, mask, labels, count, slope, spread)
    leaks = (facts[:, 2] > _LEAKING * np.maximum(1, facts[:, 1])) & (facts[:, 1] > facts[:, 0])
    if count:
        leaks[1 + int(facts[1:, 0].argmax())] = False
    return leaks


def _why_empty(mask, chosen, kept, view: View, options: CloudOptions) -> str:
    if not mask.any():
        return "the mask is empty at the size of the depth image"
    if not view.valid.any():
        return "the depth image has no valid pixel"
    seen = view.valid & mask
    if not seen.any():
        return f"none of the target's {int(mask.sum())} pixels has valid depth (too near, shiny, transparent, shadow)"
    if not (view.usable & mask).any():
        return (
            f"the target's depth starts at {float(view.depth[seen].min()):.2f} m, outside the range "
            f"{options.min_range:g} to {options.max_range:g} m; change min_range or max_range"
        )
    return (
        f"only {int(kept.sum())} of the target's {int(mask.sum())} pixels have depth in range on a surface "
        f"({int(chosen.sum())} have any), below min_points={options.min_points}"
    )
