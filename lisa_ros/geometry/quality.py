"""How far a box can be trusted: the share of the surface that was seen, uncertainties, and warnings."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.geometry.cleaning import View
from lisa_ros.geometry.options import CloudOptions
from lisa_ros.geometry.report import TopGrasp
from lisa_ros.geometry.standing import Standing

_CELLS = 8  # along each side of a face
_HIDDEN_END = 0.15, 0.06  # standard deviation of an end that was not seen, in extents: guessed, added by symmetry
_LOW_DEPTH = 0.5
_MUCH_OCCLUDED = 0.15
_LITTLE_SEEN = 0.15
_LOW = 0.008  # m above the support, below which fingers hardly get hold


@dataclass(frozen=True)
class Trust:
    """visible_share: 0 to 1. center_stddev, extents_stddev: (3,) m along the box's axes."""

    visible_share: float
    center_stddev: np.ndarray
    extents_stddev: np.ndarray


def trust(points: np.ndarray, center, rotation, extents, standing: Standing, completed: bool, view: View) -> Trust:
    """points: (N, 3) m, those that were seen, in the optical frame like the box."""
    local = (points - center) @ rotation / np.maximum(extents, 1e-6) + 0.5
    towards = -center @ rotation
    areas = np.array([extents[1] * extents[2], extents[0] * extents[2], extents[0] * extents[1]])
    seen = np.array([_covered(np.delete(local, axis, axis=1)) for axis in range(3)])
    faces = np.abs(towards) > extents / 2  # from within a slab none of its two faces is seen
    share = float((areas * seen * faces).sum() / max(2 * areas.sum(), 1e-12))
    z = float(np.median(points[:, 2]))
    measured = np.hypot(view.footprint * z / np.sqrt(12), view.noise * z * z / 2)
    guessed = _HIDDEN_END[1 if completed else 0] * extents
    guessed = np.hypot(guessed, standing.occluded * extents / 2)
    near, far = np.full(3, measured), np.hypot(measured, guessed)
    if standing.plane is not None:  # height: the plane below and the top are measured, or the bottom is guessed
        far[2] = measured if standing.on_plane else far[2]
    return Trust(min(1.0, share), np.hypot(near, far) / 2, np.hypot(near, far))


def _covered(flat: np.ndarray) -> float:
    """Share of the cells of the unit square that points (N, 2) fall into."""
    cells = np.clip((flat * _CELLS).astype(int), 0, _CELLS - 1)
    return len(np.unique(cells[:, 0] * _CELLS + cells[:, 1])) / _CELLS**2


def warnings(
    standing: Standing,
    grasp: TopGrasp | None,
    height: float,
    coverage: float,
    border: bool,
    visible_share: float,
    options: CloudOptions,
) -> tuple[str, ...]:
    """Reasons not to grasp blindly; the key before the colon does not change between releases."""
    found = []
    if border:
        found.append("touches_border: the target reaches the image's border and may go on outside")
    if coverage < _LOW_DEPTH:
        found.append(f"low_depth: only {coverage:.0%} of the target's pixels have depth")
    if standing.occluded > _MUCH_OCCLUDED:
        found.append(f"occluded: something nearer hides the target along {standing.occluded:.0%} of its outline")
    if visible_share < _LITTLE_SEEN:
        found.append(f"little_seen: about {visible_share:.0%} of the target's surface was seen")
    if standing.plane is None and standing.facing:
        found.append(
            "no_support: the camera looks straight at a plane, which may be a table or a wall; for an upright box and "
            "a grasp set the parameter up, or target_frame"
        )
    elif standing.plane is None:
        found.append("no_support: no plane was found that the target stands on, so that no grasp is suggested")
    elif not standing.on_plane:
        found.append("off_support: the target does not stand on the plane; its lower end was not seen")
    if grasp is not None and grasp.width > options.gripper_opening:
        found.append(
            f"too_wide: {1000 * grasp.width:.0f} mm between the fingers, the gripper opens "
            f"{1000 * options.gripper_opening:.0f} mm (gripper_opening)"
        )
    if grasp is not None and height < _LOW:
        found.append(f"too_low: the target's top is {1000 * height:.0f} mm above its support")
    return tuple(found)
