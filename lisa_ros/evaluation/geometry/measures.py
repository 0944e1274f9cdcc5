"""What is measured of one box: in the world, whose z axis is up, against a true upright box."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.evaluation.geometry.boxes import OrientedBox, box_iou

NEAR = 0.012  # m of centre and of size, with YAW: what counts as within
YAW = 12.0  # degrees
FOREIGN = 0.010  # m: a point farther than this outside of the true box is another thing's
ELONGATED = 1.25  # ratio of the true horizontal extents from which there is a yaw to speak of


@dataclass(frozen=True)
class Measure:
    """One target's box by one method; all but iou, within, points and foreign are NaN where there is no box.

    iou: of volumes. width_mm, length_mm, height_mm: signed errors of the shorter and the longer horizontal extent and
    of the vertical one. center_mm: distance of the centres. tilt_deg: of the axis that is nearest to the vertical.
    yaw_deg: 0 to 90, of the longer horizontal axis; NaN too where the true extents are alike. points, foreign: numbers.
    completed: the back was added by symmetry.
    """

    iou: float = 0.0
    width_mm: float = float("nan")
    length_mm: float = float("nan")
    height_mm: float = float("nan")
    center_mm: float = float("nan")
    tilt_deg: float = float("nan")
    yaw_deg: float = float("nan")
    points: int = 0
    foreign: int = 0
    completed: bool = False

    @property
    def found(self) -> bool:
        """Whether there is a box."""
        return not np.isnan(self.center_mm)

    @property
    def within(self) -> bool:
        """Whether centre, every extent and the yaw (where there is one) are near enough to the truth."""
        errors = np.abs([self.center_mm, self.width_mm, self.length_mm, self.height_mm])
        return bool((errors <= 1000 * NEAR).all() and not self.yaw_deg > YAW)


def measure(box: OrientedBox, points: np.ndarray, truth: OrientedBox, completed: bool = False) -> Measure:
    """box, points (N, 3) m: in the world. truth: upright, axis 0 the longer horizontal one."""
    vertical = int(np.abs(box.axes[2]).argmax())
    first, second = sorted((axis for axis in range(3) if axis != vertical), key=lambda axis: -box.extents[axis])
    width, length, height = (
        1000 * float(box.extents[mine] - truth.extents[true]) for mine, true in ((second, 1), (first, 0), (vertical, 2))
    )
    outside = np.abs((points - truth.center) @ truth.axes) > truth.extents / 2 + FOREIGN
    return Measure(
        iou=box_iou(truth, box),
        width_mm=width,
        length_mm=length,
        height_mm=height,
        center_mm=1000 * float(np.linalg.norm(box.center - truth.center)),
        tilt_deg=float(np.degrees(np.arccos(min(1.0, abs(box.axes[2, vertical]))))),
        yaw_deg=_yaw(box.axes[:, first], truth),
        points=len(points),
        foreign=int(outside.any(axis=1).sum()),
        completed=completed,
    )


def _yaw(axis: np.ndarray, truth: OrientedBox) -> float:
    if truth.extents[0] < ELONGATED * truth.extents[1]:
        return float("nan")
    turn = np.arctan2(axis[1], axis[0]) - np.arctan2(truth.axes[1, 0], truth.axes[0, 0])
    return abs((np.degrees(float(turn)) + 90) % 180 - 90)
