"""From a mask to the points of its object: what is no surface, a leak of the background or stray is left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lisa_ros.errors import NoDepthError
from lisa_ros.geometry.camera import CameraModel
from lisa_ros.geometry.masks import bounding_box, large_parts, nearest_index
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
_MARGIN = 2  # pixels around the mask, which tell where its surface ends
_AROUND = np.ones((3, 3), np.uint8)
_PLENTY = 40_000  # pixels of a target: more of them do not make its box better
_LOOKED_AT = 4  # rows and columns, of which one tells how far away a target is
_FAR_PART = 0.9  # quantile of its depth
_SAMPLES = 3000  # pixels from which shapes are found
_THIN = 0.4  # steps from a surface to the outside of the mask for each of its pixels: a strip along the outline
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
        noise = max(_NOISE_FLOOR, noise_of(depth))
        return cls(depth, image_rgb, camera.scaled(depth.shape[1], depth.shape[0]), valid, usable, noise)

    def every(self, step: int) -> "View":
        """Each step-th row and column, as a camera of lower resolution has them."""
        height, width = self.depth.shape
        rows = nearest_index(height, self.image.shape[0])[::step]
        columns = nearest_index(width, self.image.shape[1])[::step]
        depth, valid, usable = (
            np.ascontiguousarray(part[::step, ::step]) for part in (self.depth, self.valid, self.usable)
        )
        fx, fy, cx, cy = (value / step for value in (self.camera.fx, self.camera.fy, self.camera.cx, self.camera.cy))
        camera = CameraModel(depth.shape[1], depth.shape[0], fx, fy, cx, cy)
        return View(depth, self.image[np.ix_(rows, columns)], camera, valid, usable, self.noise)

    @property
    def footprint(self) -> float:
        """Size of a pixel at 1 m, in m."""
        return 1.0 / self.camera.fx

    def points(self, rows: np.ndarray, columns: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
        """(N, 3) float64 m of pixels (N,), (N,) with depth (N,)."""
        return self.camera.back_project(rows, columns, depth_m)

    def colors(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(N, 3) uint8 RGB of pixels (N,), (N,)."""
        height, width = self.depth.shape
        if self.image.shape[:2] != (height, width):
            rows = nearest_index(height, self.image.shape[0])[rows]
            columns = nearest_index(width, self.image.shape[1])[columns]
        return self.image[rows, columns]


@dataclass(frozen=True)
class CleanTarget:
    """The pixels of a target that were measured well.

    box: rows and columns of the depth image that the arrays are cut from, with some margin around the target.
    mask: (h, w) bool, the target's pixels. kept: (h, w) bool, those with good depth. depth: (h, w) float32 m, of the
    pixels kept, with less noise. coverage: share of the mask that has depth.
    """

    box: tuple[slice, slice]
    mask: np.ndarray
    kept: np.ndarray
    depth: np.ndarray
    coverage: float

    def pixels(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows and columns in the depth image and depth, each (N,), of the pixels `chosen` (h, w) bool."""
        rows, columns = np.nonzero(chosen)
        return rows + self.box[0].start, columns + self.box[1].start, self.depth[rows, columns]

    def shape(self, view: View) -> np.ndarray:
        """(N, 3) m: some of the points, evenly spread, and those at the outline, which decide about size."""
        step = int(np.ceil(np.sqrt(max(1, int(self.kept.sum())) / _SAMPLES)))
        if step == 1:
            return view.points(*self.pixels(self.kept))
        whole = cv2.morphologyEx(self.kept.view(np.uint8), cv2.MORPH_CLOSE, _AROUND)  # without holes of the sensor
        chosen = cv2.erode(whole, _AROUND, borderType=cv2.BORDER_CONSTANT, borderValue=0) == 0
        chosen[::step, ::step] = True
        return view.points(*self.pixels(chosen & self.kept))


def sampling_step(masks: Sequence[np.ndarray], view: View, options: CloudOptions) -> int:
    """Every how many rows and columns one is enough, so that the pixels of masks (h, w) bool stay within voxel_size.

    1 where a mask has few pixels, for all of them.
    """
    step = np.inf
    for mask in masks:
        if mask.any():
            step = min(step, np.sqrt(np.count_nonzero(mask) / _PLENTY))
            some = view.depth[::_LOOKED_AT, ::_LOOKED_AT][(mask & view.usable)[::_LOOKED_AT, ::_LOOKED_AT]]
            if step >= 2 and len(some):
                step = min(step, options.voxel_size / (view.footprint * np.quantile(some, _FAR_PART)))
    return int(step) if 1 <= step < np.inf else 1


def clean_target(mask: np.ndarray, view: View, options: CloudOptions) -> CleanTarget:
    """The good pixels of a mask (h, w) bool, contiguous. Raises NoDepthError with the reason where they are too few."""
    box = bounding_box(mask, _MARGIN)
    mask, valid, usable, depth = (
        np.ascontiguousarray(part[box]) for part in (mask, view.valid, view.usable, view.depth)
    )
    chosen = large_parts(mask, options.min_component_share) & usable
    kept, smooth = np.zeros_like(chosen), np.zeros_like(depth)
    if chosen.sum() >= options.min_points:
        kept, smooth = _surface(mask, chosen, depth, valid, view, options)
    if kept.sum() < options.min_points:
        raise NoDepthError(_why_empty(mask, chosen, kept, valid, usable, depth, view, options))
    return CleanTarget(box, mask, kept, smooth, float(valid[mask].mean()))


def _surface(mask, chosen, depth, valid, view: View, options: CloudOptions) -> tuple[np.ndarray, np.ndarray]:
    slope = (options.jump_footprints or np.inf) * view.footprint
    spread = JUMP_SIGMAS * view.noise
    kept = chosen & ~flying_pixels(depth, valid, chosen, slope, spread)
    labels = label_surfaces(depth, kept, slope, spread)
    kept &= ~_leaks(depth, valid, mask, labels, slope, spread)[labels]
    if options.outlier_neighbours:
        kept &= ~stray_pixels(
            depth, kept, view.footprint, view.noise, options.outlier_neighbours, options.outlier_radius
        )
    if not kept.any() or view.noise * np.median(depth[kept]) < _SMOOTHED_FROM * view.footprint:
        return kept, depth
    return kept, smoothed(depth, np.where(kept, labels, 0), slope, spread, _SMOOTHING)


def _leaks(depth, valid, mask, labels, slope, spread) -> np.ndarray:
    """(count + 1,) bool: thin surfaces that are another's, which goes on outside of the mask; never most."""
    count = int(labels.max())
    facts = surface_facts(depth, valid, mask, labels, count, slope, spread)
    leaks = (facts[:, 2] > _LEAKING * np.maximum(1, facts[:, 1])) & (facts[:, 1] > _THIN * facts[:, 0])
    largest = int(facts[:, 0].argmax())
    if leaks[1:].all() or facts[largest, 0] > facts[:, 0].sum() / 2:
        leaks[largest] = False
    return leaks


def _why_empty(mask, chosen, kept, valid, usable, depth, view: View, options: CloudOptions) -> str:
    if not mask.any():
        return "the mask is empty at the size of the depth image"
    if not view.valid.any():
        return "the depth image has no valid pixel"
    seen = valid & mask
    if not seen.any():
        return f"none of the target's {int(mask.sum())} pixels has valid depth (too near, shiny, transparent, shadow)"
    if not (usable & mask).any():
        return (
            f"the target's depth starts at {float(depth[seen].min()):.2f} m, outside the range "
            f"{options.min_range:g} to {options.max_range:g} m; change min_range or max_range"
        )
    return (
        f"only {int(kept.sum())} of the target's {int(mask.sum())} pixels have depth in range on a surface "
        f"({int(chosen.sum())} have any), below min_points={options.min_points}"
    )
