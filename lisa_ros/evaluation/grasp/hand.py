"""The gripper in MuJoCo: a hand that slides along its approach, and two fingers that slide towards each other."""

import math

from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.grasp.gripper import Gripper

FAR_AWAY = (0.0, 0.0, 5.0)  # m, where the hand waits while the objects settle
_PAD_TWIST = 0.004  # m, a rubber pad gives way around a point of contact
_PAD_SOLREF = (0.006, 1.0)  # gives way by 0.2 to 1 mm under the fingers' force, as rubber does
_PALM_FRICTION = (0.5, 0.003, 0.002)
_ARM_STIFFNESS, _FINGER_STIFFNESS = 2e4, 4e3  # N/m
_ARM_LIMIT = 80.0  # N
_HAND_MASS, _FINGER_MASS, _DRIVE_MASS = 0.8, 0.06, 0.5  # kg; the last one is what a finger's drive adds to its inertia
MOVING_MASS = _HAND_MASS + 2.0 * _FINGER_MASS  # kg that the arm moves


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
