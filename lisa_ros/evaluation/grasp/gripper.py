"""The gripper's measures, and how it carries out a grasp that was proposed to it."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.geometry.report import TopGrasp


@dataclass(frozen=True)
class Gripper:
    """A parallel gripper with the measures of common ones (Robotiq 2F-85, Franka hand); m, N.

    opening: greatest distance between the pads. pad_width: of the fingers, across the closing direction. pad_thickness:
    of the fingers, along it. finger_length: from the palm to the fingertips. palm: half sizes, (across, along) the
    closing direction and along the fingers. force: of each finger. friction: of the pads' rubber on things.
    spare: free space on both sides together that an object must leave to fit. preshape: how far the pads stand off
    each side of the width that was proposed, before they close. table_gap, palm_gap: least distances of fingertips and
    table, palm and object.
    """

    opening: float = 0.085
    pad_width: float = 0.022
    pad_thickness: float = 0.009
    finger_length: float = 0.060
    palm: tuple[float, float, float] = (0.030, 0.060, 0.030)
    force: float = 30.0
    friction: float = 0.9
    spare: float = 0.010
    preshape: float = 0.020
    table_gap: float = 0.003
    palm_gap: float = 0.005


@dataclass(frozen=True)
class Approach:
    """What the hand does: `opening` (m) between the pads on the way down to `pose`.

    pose: (4, 4) world <- hand; origin midway between the fingertips, y the closing direction, z the approach.
    """

    pose: np.ndarray
    opening: float


def plan(grasp: TopGrasp, gripper: Gripper) -> Approach:
    """How the gripper carries out a grasp in the world (z up, table at z = 0).

    The fingertips go to the grasp's position, but not so deep that the palm meets the top, and not into the table: the
    position is moved along the approach only. A width that the gripper does not have is tried wide open.
    """
    rotation = np.asarray(grasp.rotation, np.float64)
    down = rotation[:, 2]
    depth_of_top = float((grasp.top - grasp.position) @ down)  # negative: the top is nearer to the hand
    reach = min(0.0, depth_of_top + gripper.finger_length - gripper.palm_gap)
    tips = grasp.position + reach * down
    if tips[2] < gripper.table_gap:
        tips = tips + down * (gripper.table_gap - tips[2]) / min(down[2], -0.5)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, tips
    return Approach(pose, min(gripper.opening, grasp.width + 2.0 * gripper.preshape))
