"""What is known of a target in space: its points, its box, what it stands on, and how far all of that can be trusted.

Coordinates are in m, in the camera's optical frame or in the frame that a `pose` leads to.
"""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class SupportPlane:
    """The plane that targets stand on, in the coordinates of the report that holds it.

    normal: (3,) unit vector that points away from the support, up. offset: `normal @ p == offset` on the plane, in m.
    """

    normal: np.ndarray
    offset: float

    def height(self, points: np.ndarray) -> np.ndarray:
        """(...,) heights in m of points (..., 3) above the plane."""
        return points @ self.normal - self.offset

    def moved(self, pose: np.ndarray) -> "SupportPlane":
        """The same plane in the coordinates that a (4, 4) pose leads to."""
        normal = pose[:3, :3] @ self.normal
        return SupportPlane(normal, float(self.offset + normal @ pose[:3, 3]))


@dataclass(frozen=True)
class TopGrasp:
    """A grasp from above by a parallel gripper, as the box suggests it: no check of reach or of collisions.

    position: (3,) m, midpoint between the fingertips when they have closed. rotation: (3, 3) right-handed, columns x,
    y = the direction in which the fingers close, z = the direction of approach, from the gripper into the object, down.
    width: m, the object between the fingers along y, without clearance. top: (3,) m, point of the object's top surface
    above `position`; (top, rotation) is the pose of the top surface.
    """

    position: np.ndarray
    rotation: np.ndarray
    width: float
    top: np.ndarray

    def moved(self, pose: np.ndarray) -> "TopGrasp":
        """The same grasp in the coordinates that a (4, 4) pose leads to."""
        rotation, shift = pose[:3, :3], pose[:3, 3]
        return TopGrasp(
            rotation @ self.position + shift, rotation @ self.rotation, self.width, rotation @ self.top + shift
        )


@dataclass(frozen=True)
class CloudReport:
    """A target's cloud and what it is worth.

    points (N, 3) float32, colors (N, 3) uint8 RGB: the cleaned target. scene_points, scene_colors: all else in range,
    empty where they were not asked for.
    centroid (3,) float64: mean of the target's points, which lie on the visible side only.
    box_center (3,), box_rotation (3, 3) right-handed with the axes as columns, extents (3,) full lengths. With a
    support the box is upright: column 0 is the longer horizontal axis, column 1 the shorter one, along which a gripper
    closes, column 2 points up. Without one it is the smallest box around the points, longest axis first.
    depth_coverage: share of the mask's pixels with valid depth, 0 to 1, before cleaning. point_count: N.
    components: connected parts of the mask. touches_border: the object may go on outside the image.
    support: the plane that the target stands on, None where none was found. completed: the hidden back was added by
    symmetry, so that the box holds more than was seen. visible_share: estimated share of the object's surface that was
    seen, 0 to 1. center_stddev, extents_stddev: (3,) m along the box's axes. height: m, of the object's top above the
    support; NaN without one. grasp: None without a support.
    warnings: why not to grasp blindly, in plain English, each with a stable key in front ("touches_border: ...").
    """

    points: np.ndarray
    colors: np.ndarray
    scene_points: np.ndarray
    scene_colors: np.ndarray
    centroid: np.ndarray
    box_center: np.ndarray
    box_rotation: np.ndarray
    extents: np.ndarray
    depth_coverage: float
    point_count: int
    components: int
    touches_border: bool
    support: SupportPlane | None
    completed: bool
    visible_share: float
    center_stddev: np.ndarray
    extents_stddev: np.ndarray
    height: float
    grasp: TopGrasp | None
    warnings: tuple[str, ...]

    def moved(self, pose: np.ndarray) -> "CloudReport":
        """The same target in the coordinates that a (4, 4) pose leads to; `scene_points` stay as they are."""
        rotation, shift = pose[:3, :3], pose[:3, 3]
        return replace(
            self,
            points=(self.points @ rotation.T + shift).astype(np.float32),
            centroid=rotation @ self.centroid + shift,
            box_center=rotation @ self.box_center + shift,
            box_rotation=rotation @ self.box_rotation,
            support=self.support and self.support.moved(pose),
            grasp=self.grasp and self.grasp.moved(pose),
        )


@dataclass(frozen=True)
class TargetClouds:
    """All targets of an answer.

    reports: one for each mask, None where it has no cloud. reasons: one for each mask, why it has none, else "".
    scene_points (N, 3) float32 m, scene_colors (N, 3) uint8 RGB: what is in range and under none of the masks; None
    where they were not asked for. support: what most of the targets stand on; None where no plane was found.
    """

    reports: tuple[CloudReport | None, ...]
    reasons: tuple[str, ...]
    scene_points: np.ndarray | None
    scene_colors: np.ndarray | None
    support: SupportPlane | None

    @property
    def points(self) -> np.ndarray:
        """(N, 3) float32 m: the points of all targets, one target after the other."""
        return np.concatenate([np.zeros((0, 3), np.float32), *(report.points for report in self._found)])

    @property
    def colors(self) -> np.ndarray:
        """(N, 3) uint8 RGB of `points`."""
        return np.concatenate([np.zeros((0, 3), np.uint8), *(report.colors for report in self._found)])

    @property
    def point_targets(self) -> np.ndarray:
        """(N,) uint16: for each of `points`, the index of its target in `reports`."""
        counts = [0 if report is None else len(report.points) for report in self.reports]
        return np.repeat(np.arange(len(counts), dtype=np.uint16), counts)

    @property
    def _found(self) -> list[CloudReport]:
        return [report for report in self.reports if report is not None]
