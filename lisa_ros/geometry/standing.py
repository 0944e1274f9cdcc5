"""What each target stands on: a plane of the scene, found in the targets' surroundings.

A plane supports a target that lies on its upper side, comes near to it, and is surrounded by it in the image. Where
gravity is not known, a plane must look like a table to a camera that a robot carries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from lisa_ros.geometry.cleaning import CleanTarget, View
from lisa_ros.geometry.masks import bounding_box
from lisa_ros.geometry.planes import FoundPlane, distance_limit, find_planes
from lisa_ros.geometry.report import SupportPlane

_SAMPLES = 2500
_RING_SAMPLES = 2000
_PARALLEL = np.cos(np.radians(8.0))
_MIN_RING = 0.12  # share of a target's surroundings that is to lie on its support
_LOWEST = 0.005  # share of the target's points below what counts as its lowest one
_FAR = 0.05, 1.0  # m, and sizes of the target, by which a plane may be below it and still be taken for its support
_ABOVE = 0.5  # share of the target's points above its support; others are what is seen past a thin thing
_SIZE = 0.25  # exponent by which large planes are preferred
_RISE = np.sin(np.radians(7.0))  # of a table's normal in the image, at least, where gravity is not known
_LEVEL, _TILTED = 2.0, 15.0  # degrees from which on a plane is less likely level, and not at all
_STEEP = np.sin(np.radians(12.0))  # of the angle between the view and the vertical, below which sides are not seen
_HIDDEN_BELOW = 0.1  # share of the surroundings that are nearer, from which they may hide the lower end
_HIDES = 0.01, 0.02  # m, and share of the depth, by which something is nearer that hides a part of the target
_CAMERA_DOWN = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class Standing:
    """How a target relates to its support.

    plane: the support. on_plane: the target stands on it; otherwise on something else, or it is held. occluded: share
    of the target's outline behind which something nearer begins. facing: the camera looks straight at a plane that may
    be the support or a wall.
    """

    plane: SupportPlane | None
    on_plane: bool
    occluded: float
    facing: bool = False


@dataclass(frozen=True)
class _Ring:
    """Pixels around a target.

    points: (N, 3) m. hides: (N,) bool, nearer than the target beside it.
    """

    points: np.ndarray
    hides: np.ndarray


@dataclass(frozen=True)
class _Match:
    found: FoundPlane
    score: float


def find_standing(
    targets: Sequence[CleanTarget | None], shapes: Sequence[np.ndarray | None], view: View, up: np.ndarray | None
) -> tuple[list[Standing | None], SupportPlane | None]:
    """What each target stands on, None where the target is None, and the plane on which most of them stand.

    shapes: (N, 3) m, some points of each target.
    """
    found = [target for target in targets if target is not None]
    if not found:
        return [None] * len(targets), None
    union = np.zeros(view.depth.shape, bool)
    for target in found:
        union[target.box] |= target.mask
    planes = _judged_planes(_surroundings(union, view), view.noise, up)
    facing = up is None and any(faces_camera(one.plane) for one in planes)
    planes = [one for one in planes if one.likelihood > 0]
    points = [shape for shape in shapes if shape is not None]
    rings = [_ring(target, union, view) for target in found]
    matches = [_best(p, ring, planes, view.noise) for p, ring in zip(points, rings, strict=True)]
    common = _common(matches)
    standings = []
    if common is not None:
        parallel = [one for one in planes if one.plane.normal @ common.normal > _PARALLEL]
        for i, match in enumerate(matches):
            if match is not None and match.found.plane.normal @ common.normal <= _PARALLEL:
                matches[i] = _best(points[i], rings[i], parallel, view.noise)
    for target, p, ring, match in zip(found, points, rings, matches, strict=True):
        standings.append(
            _standing(target, p, ring, match.found.plane if match else common, match is not None, facing, view)
        )
    answers = iter(standings)
    return [None if target is None else next(answers) for target in targets], common


def _surroundings(union: np.ndarray, view: View) -> np.ndarray:
    """(N, 3) m: some points around the targets' pixels (h, w) bool, outside of them."""
    tight = bounding_box(union)
    grow = int(0.6 * max(part.stop - part.start for part in tight)) + union.shape[0] // 8
    rows, columns = bounding_box(union, margin=grow)
    step = max(1, int(np.sqrt((rows.stop - rows.start) * (columns.stop - columns.start) / _SAMPLES)))
    some = slice(rows.start, rows.stop, step), slice(columns.start, columns.stop, step)
    v, u = np.nonzero(view.usable[some] & ~union[some])
    v, u = rows.start + step * v, columns.start + step * u
    return view.points(v, u, view.depth[v, u])


def _judged_planes(points: np.ndarray, noise: float, up: np.ndarray | None) -> list[FoundPlane]:
    planes = find_planes(points, noise, up)
    return [replace(found, likelihood=level_likelihood(found.plane, up)) for found in planes]


def level_likelihood(plane: SupportPlane, up: np.ndarray | None) -> float:
    """0 to 1: whether a plane is level; up: (3,) unit vector against gravity, if known, to a few degrees.

    Otherwise, a camera that is held upright, whatever its pitch, sees the normal of a table rise in the image, and that
    of a wall seen from above fall. A plane that the camera looks straight at is a table or a wall: nobody can tell, and
    it is not taken.
    """
    if up is not None:
        angle = float(np.degrees(np.arccos(np.clip(plane.normal @ up, -1.0, 1.0))))
        return float(np.clip((_TILTED - angle) / (_TILTED - _LEVEL), 0.0, 1.0))
    rise = -float(plane.normal @ _CAMERA_DOWN)
    return float(np.clip(0.5 + rise, 0.0, 1.0)) if rise > _RISE else 0.0


def faces_camera(plane: SupportPlane) -> bool:
    """Whether the camera looks straight at a plane, from above or along the horizon."""
    return float(-plane.normal[2]) > np.sqrt(1 - _RISE**2)


def _ring(target: CleanTarget, union: np.ndarray, view: View) -> _Ring:
    """union: (h, w) bool, pixels of all targets, which are no surroundings."""
    area = int(target.mask.sum())
    inner, width = 2, max(3, int(0.12 * np.sqrt(area)))
    grow = inner + width
    rows, columns = target.box
    rows = slice(max(0, rows.start - grow), min(union.shape[0], rows.stop + grow))
    columns = slice(max(0, columns.start - grow), min(union.shape[1], columns.stop + grow))
    near = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    top, left = target.box[0].start - rows.start, target.box[1].start - columns.start
    near[top : top + target.mask.shape[0], left : left + target.mask.shape[1]] = target.mask
    usable, depth = view.usable[rows, columns], view.depth[rows, columns]
    distance, labels = cv2.distanceTransformWithLabels(
        (~near).view(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    v, u = np.nonzero((distance > inner) & (distance <= grow) & usable & ~union[rows, columns])
    some = max(1, len(v) // _RING_SAMPLES)
    v, u = v[::some], u[::some]
    # Depth of the mask's pixel that is nearest to each pixel of the ring.
    beside = np.full(labels.max() + 1, -np.inf, np.float32)
    beside[labels[near & usable]] = depth[near & usable]
    z = depth[v, u]
    hides = z < beside[labels[v, u]] - _HIDES[0] - _HIDES[1] * z
    return _Ring(view.points(v + rows.start, u + columns.start, z), hides)


def _best(points: np.ndarray, ring: _Ring, planes: list[FoundPlane], noise: float) -> _Match | None:
    """The plane that supports points (N, 3) of a target best; None where none does."""
    best = None
    background = ring.points[~ring.hides]
    size = float(np.linalg.norm(np.ptp(points, axis=0)))
    limit = distance_limit(float(np.median(points[:, 2])), noise)
    for found in planes:
        heights = found.plane.height(points)
        above = float(np.mean(heights > -2 * limit))
        if above < _ABOVE or not len(background):
            continue
        share = float((np.abs(found.plane.height(background)) < 1.5 * distance_limit(background[:, 2], noise)).mean())
        if share < _MIN_RING:
            continue
        gap = max(0.0, float(np.quantile(heights[heights > -2 * limit], _LOWEST)) - limit)
        if gap > _FAR[0] + _FAR[1] * size:
            continue
        score = above * share * found.likelihood * found.share**_SIZE / (1 + gap / (0.25 * size + 0.01))
        if best is None or score > best.score:
            best = _Match(found, score)
    return best


def _common(matches: list[_Match | None]) -> SupportPlane | None:
    totals: dict[int, float] = {}
    planes = {}
    for match in matches:
        if match is not None:
            key = id(match.found)
            planes[key] = match.found.plane
            totals[key] = totals.get(key, 0.0) + match.score
    return planes[max(totals, key=totals.get)] if totals else None


def _standing(target: CleanTarget, points, ring: _Ring, plane, matched: bool, facing: bool, view: View) -> Standing:
    occluded = float(ring.hides.mean()) if len(ring.hides) else 0.0
    if plane is None:
        return Standing(None, False, occluded, facing)
    heights = plane.height(points)
    lowest = float(np.quantile(np.maximum(heights, 0.0), _LOWEST))
    # A round object hides where it touches the plane: seen at this sine of elevation, up to (1 - cos) of its radius.
    # From straight above nothing is seen of any object's sides, and too little to be measured from nearly there.
    away = -points.mean(axis=0)
    sine = float(np.clip(plane.normal @ away / np.linalg.norm(away), 0.0, 1.0))
    flat = points - heights[:, None] * plane.normal
    spread = float(np.linalg.norm(np.ptp(flat, axis=0))) / np.sqrt(2)
    cosine = np.sqrt(1 - sine**2)
    hidden = 0.8 * spread * (1 - cosine) if cosine > max(_STEEP, spread / np.linalg.norm(away)) else lowest
    tolerance = 0.010 + distance_limit(float(np.median(points[:, 2])), view.noise)
    stands = matched and lowest <= hidden + tolerance
    if not stands and matched:
        stands = _hidden_below(target, ring, view)
    return Standing(plane, bool(stands), occluded, facing)


def _hidden_below(target: CleanTarget, ring: _Ring, view: View) -> bool:
    """Whether the lower end of a target is behind something that stands in front of it, or outside of the image."""
    at_edge = target.box[0].stop == view.depth.shape[0] and bool(target.mask[-1].any())
    return at_edge or float(ring.hides.mean()) > _HIDDEN_BELOW
