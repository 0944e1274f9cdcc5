"""A grasp from above for a parallel gripper, and why it should not be tried blindly."""

import numpy as np

from lisa_ros.geometry.report import SupportPlane, TopGrasp
from lisa_ros.geometry.upright import UprightBox

_FINGER = 0.012  # m, half the breadth of what the fingers touch along the longer axis
_PLACES = 15  # where along the longer axis the fingers may close
_REACH = 0.3  # of the length to either side of the middle
_LONG = 1.5  # times the width: of shorter things only the middle is held, as a round one is narrow at its edge
_EASY = 0.85  # of the gripper's opening: what is not wider than that is held nearest to the object's middle
_DEPTHS = (0.02, 0.028, 0.036, 0.044, 0.052)  # m below the top where the fingertips may close
_DEPTH_SHARE = 0.75  # of the height, if that is less
_STEEP = 0.004, 0.008  # m: fingers hold where the object gets no wider than the first within the second further down
_CLEARANCE = 0.003  # m that the fingertips stay above the support
_SLICES = 15  # across the longer axis, whose cross-sections tell where the weight is
_DENSITY = 1000.0  # kg/m³, of what fills them
_TORQUE = 0.1  # N m that pads hold against turning by their friction; a heavier end swings down
_GRAVITY = 9.81  # m/s²
_SAMPLES = 3000
_MIN_POINTS = 4


def top_grasp(points: np.ndarray, box: UprightBox, support: SupportPlane, margin: float, opening: float) -> TopGrasp:
    """The grasp whose fingers close along the box's shorter axis, nearest to the object's middle where it is narrow.

    A long thing that would swing about the fingers there is held nearer to its thick end, as far as need be: what is
    thick is heavy, and a hammer's head more so. What is below the fingertips does not count: a bottle is held at its
    neck. The tips go down to where the sides no longer fall away, so that they do not slip off a ball.
    points: (N, 3) m, seen and added ones. margin: m that the object reaches beyond its outermost points.
    opening: m, of the gripper.
    """
    points = points[:: max(1, len(points) // _SAMPLES)]
    local = (points - box.center) @ box.rotation + [0.0, 0.0, box.extents[2] / 2]  # heights above the object's bottom
    length = float(box.extents[0])
    half = min(_FINGER, length / 2)
    best = None
    reach = _REACH * length if length > _LONG * box.extents[1] else 0.0
    heavy, tolerance = _weight(local, length) if reach else (0.0, 0.0)
    for place in np.linspace(-reach, reach, _PLACES if reach else 1):
        near = local[np.abs(local[:, 0] - place) <= half + 1e-9]
        if len(near) < _MIN_POINTS:
            continue
        held = _held(near[:, 1], near[:, 2])
        excess = max(held[1] - held[0] + 2 * margin - _EASY * opening, 0.0)
        cost = excess, max(abs(place - heavy) - tolerance, 0.0), abs(place)
        if best is None or cost < best[0]:
            best = cost, place, *held
    if best is None:
        side, height = float(box.extents[1]) / 2, float(box.extents[2])
        best = None, 0.0, -side, side, max(_CLEARANCE, (1 - _DEPTH_SHARE) * height), height
    _, place, low, high, tip, top = best
    base = box.center + box.rotation @ [place, (low + high) / 2, -box.extents[2] / 2]
    rotation = np.column_stack([-box.rotation[:, 0], box.rotation[:, 1], -support.normal])
    return TopGrasp(base + support.normal * tip, rotation, high - low + 2 * margin, base + support.normal * top)


def _weight(local: np.ndarray, length: float) -> tuple[float, float]:
    """Where along the longer axis the weight is taken to be, and how far from there it may be held, in m.

    Cross-sections count by their square, as the thick part of a tool is the one that is solid or of metal.
    local: (N, 3) m in the box's axes, heights above the object's bottom.
    """
    edges = np.linspace(-length / 2, length / 2, _SLICES + 1)
    slices = np.clip(np.digitize(local[:, 0], edges) - 1, 0, _SLICES - 1)
    sections = np.zeros(_SLICES)
    for number in np.unique(slices):
        part = local[slices == number]
        sections[number] = np.ptp(part[:, 1]) * max(part[:, 2].max(), 0.0)
    mass = _DENSITY * sections.sum() * length / _SLICES
    if mass <= 0:
        return 0.0, 0.0
    return float(np.average((edges[:-1] + edges[1:]) / 2, weights=sections**2)), _TORQUE / (mass * _GRAVITY)


def _held(across: np.ndarray, heights: np.ndarray) -> tuple[float, float, float, float]:
    """Ends of what is between the fingers, height of the tips and of the top, all in m, for points (N,), (N,)."""
    top = float(heights.max())
    deepest = min(_DEPTHS[-1], _DEPTH_SHARE * top)
    tips = [top - min(depth, deepest) for depth in _DEPTHS]
    for tip in tips:
        low, high = _ends(across, heights >= tip)
        below = _ends(across, heights >= tip - _STEEP[1])
        if (below[1] - below[0]) - (high - low) <= _STEEP[0]:
            break
    return low, high, max(tip, _CLEARANCE), top


def _ends(across: np.ndarray, chosen: np.ndarray) -> tuple[float, float]:
    return float(across[chosen].min()), float(across[chosen].max())
