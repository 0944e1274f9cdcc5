"""The gripper's measures, and how it carries out a grasp that was proposed to it."""

import math
from dataclasses import dataclass

import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.geometry.report import TopGrasp

FAR_AWAY = (0.0, 0.0, 5.0)  # m, where the hand waits while the objects settle
_PAD_TWIST = 0.004  # m, a rubber pad gives way around a point of contact
_PAD_SOLREF = (0.006, 1.0)  # gives way by 0.2 to 1 mm under the fingers' force, as rubber does
_PALM_FRICTION = (0.5, 0.003, 0.002)
_ARM_STIFFNESS, _FINGER_STIFFNESS = 2e4, 4e3  # N/m
_ARM_LIMIT = 80.0  # N
_HAND_MASS, _FINGER_MASS, _DRIVE_MASS = 0.8, 0.06, 0.5  # kg; the last one is what a finger's drive adds to its inertia
MOVING_MASS = _HAND_MASS + 2.0 * _FINGER_MASS  # kg that the arm moves


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


def load_mujoco():
    """The module `mujoco`. Raises ConfigurationError that says how to install it."""
    try:
        import mujoco
    except ImportError as error:
        raise ConfigurationError(
            f"grasps are tried in MuJoCo, which is not installed ({error}): pip install 'lisa_ros[grasp]'"
        ) from error
    return mujoco


def add_hand(mujoco, spec, gripper: Gripper):
    """Adds a mount that stands still, a hand that slides along its z (the approach), two fingers that slide along y.

    Joints and position servos: "arm" (m along the approach), "left" and "right" (m of each pad from the middle).
    """
    slide = mujoco.mjtJoint.mjJNT_SLIDE
    box = mujoco.mjtGeom.mjGEOM_BOX
    mount = spec.worldbody.add_body(name="mount", mocap=True, pos=FAR_AWAY)
    hand = mount.add_body(name="hand", gravcomp=1.0, sleep=mujoco.mjtSleepPolicy.mjSLEEP_NEVER)
    hand.add_joint(name="arm", type=slide, axis=[0.0, 0.0, 1.0])
    length, half = gripper.finger_length, gripper.pad_thickness / 2.0
    hand.add_geom(type=box, size=gripper.palm, pos=[0.0, 0.0, -length - gripper.palm[2]], mass=_HAND_MASS, condim=3,
                  friction=_PALM_FRICTION)  # fmt: skip
    for side, sign in (("left", 1.0), ("right", -1.0)):
        finger = hand.add_body(name=side, gravcomp=1.0)
        finger.add_joint(name=side, type=slide, axis=[0.0, sign, 0.0], range=[0.0, gripper.opening / 2.0],
                         limited=True, armature=_DRIVE_MASS)  # fmt: skip
        finger.add_geom(
            name=f"{side}_pad", type=box, size=[gripper.pad_width / 2.0, half, length / 2.0],
            pos=[0.0, sign * half, -length / 2.0], mass=_FINGER_MASS, condim=4, priority=1,
            friction=[gripper.friction, _PAD_TWIST, _PALM_FRICTION[2]], solref=_PAD_SOLREF,
        )  # fmt: skip
        _add_servo(mujoco, spec, side, _FINGER_STIFFNESS, _FINGER_MASS + _DRIVE_MASS, gripper.force)
    spec.add_exclude(bodyname1="left", bodyname2="right")
    equality = spec.add_equality(type=mujoco.mjtEq.mjEQ_JOINT, name1="left", name2="right",
                                 objtype=mujoco.mjtObj.mjOBJ_JOINT)  # fmt: skip
    equality.data[:5] = [0.0, 1.0, 0.0, 0.0, 0.0]
    _add_servo(mujoco, spec, "arm", _ARM_STIFFNESS, MOVING_MASS, _ARM_LIMIT)


def _add_servo(mujoco, spec, joint: str, stiffness: float, mass: float, limit: float):
    """A critically damped position servo of limited force."""
    actuator = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT,
                                 forcelimited=True, forcerange=[-limit, limit])  # fmt: skip
    actuator.set_to_position(kp=stiffness, kv=2.0 * math.sqrt(stiffness * mass))
