"""Approach, close, lift, hold: how one grasp is carried out in a `GraspWorld`, and what it is judged by."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.evaluation.grasp.gripper import MOVING_MASS, Approach, load_mujoco

LIFT, HOLD = 0.10, 2.0  # m, s
RISEN = 0.08  # m that the target must have come up by
_SPEED, _CLOSING_SPEED, _LIFT_SPEED = 0.4, 0.12, 0.2  # m/s
_PAUSE = 0.15  # s after moving
_PROTECTIVE_STOP = 20.0  # N along the approach at which the arm stops, as collaborative arms do
_START = 0.02  # m above the highest thing, where the fingertips come from
_NEARLY_THERE = 0.06  # m before the grasp, where a film shows the approach
_SHUT = -0.005  # m, where the fingers are sent to close


@dataclass(frozen=True)
class GraspOutcome:
    """What came of a grasp.

    success: the target came up by RISEN and is between the pads at the end. cause: "" or why not: "collision" (the arm
    met more than 20 N on its way down), "missed" (not between the pads when they had closed), "slipped", "wrong
    object", or "diverged" where MuJoCo itself warns that its result is none. rise: m, of the target's centre of mass.
    force: N, the greatest along the approach. frames: for a film, name and `GraspWorld.poses()` of each stage.
    """

    success: bool
    cause: str
    rise: float
    force: float
    frames: tuple[tuple[str, np.ndarray], ...] = ()


class Execution:
    """One grasp of the object with an index, from the settled state of a `GraspWorld`."""

    def __init__(self, world, target: int, approach: Approach, film: bool):
        self._mujoco, self._world, self._model, self._data = load_mujoco(), world, world.model, world.data
        self._step = world.model.opt.timestep
        self._index, self._target = target, world.bodies[target]
        self._approach, self._film = approach, film
        self._frames: list[tuple[str, np.ndarray]] = []
        self._force = 0.0

    def outcome(self) -> GraspOutcome:
        """Carries the grasp out in physics: approach, close, lift, hold."""
        data = self._data
        self._reset()
        start = data.xipos[self._world.bodies, 2].copy()
        opening = self._approach.opening / 2.0
        if not self._descend():
            self._show("collision")
            return GraspOutcome(False, "collision", 0.0, self._force, tuple(self._frames))
        self._ramp("fingers", opening, _SHUT, _CLOSING_SPEED)
        self._wait(_PAUSE)
        self._show("close")
        grasped = self._held(self._target)
        self._ramp("arm", 0.0, -LIFT, _LIFT_SPEED)
        self._show("lift")
        self._wait(HOLD)
        self._show("hold")
        rises = data.xipos[self._world.bodies, 2] - start
        rise = float(rises[self._index])
        success = rise >= RISEN and self._held(self._target) and not self._diverged()
        cause = "" if success else self._cause(grasped, rises)
        return GraspOutcome(success, cause, rise, self._force, tuple(self._frames))

    def _cause(self, grasped: bool, rises: np.ndarray) -> str:
        if self._diverged():
            return "diverged"
        others = self._world.bodies != self._target
        if (rises[others] >= RISEN / 2.0).any():
            return "wrong object"
        return "slipped" if grasped else "missed"

    def _diverged(self) -> bool:
        return any(warning.number for warning in self._data.warning)

    def _reset(self):
        mujoco, model, data = self._mujoco, self._model, self._data
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = self._world.rest
        data.mocap_pos[0] = self._approach.pose[:3, 3]
        mujoco.mju_mat2Quat(data.mocap_quat[0], np.ascontiguousarray(self._approach.pose[:3, :3]).ravel())
        self._above = self._world.top + _START - self._approach.pose[2, 3]
        data.joint("arm").qpos[0] = -self._above
        for side in ("left", "right"):
            data.joint(side).qpos[0] = self._approach.opening / 2.0
        self._command("arm", -self._above)
        self._command("fingers", self._approach.opening / 2.0)
        mujoco.mj_forward(model, data)

    def _command(self, name: str, value: float):
        names = ("arm",) if name == "arm" else ("left", "right")
        for one in names:
            self._data.actuator(one).ctrl[0] = value

    def _descend(self) -> bool:
        """Moves down. Returns False where something stopped the hand."""
        for value in _profile(-self._above, 0.0, _SPEED, self._step):
            if value >= -_NEARLY_THERE and not self._frames:
                self._show("approach")
            self._command("arm", value)
            self._mujoco.mj_step(self._model, self._data)
            self._force = max(self._force, self._resistance())
            if self._force > _PROTECTIVE_STOP:
                return False
        self._wait(_PAUSE)
        return True

    def _resistance(self) -> float:
        """N that the arm pushes with beyond what moves the hand itself."""
        pushing = self._data.actuator("arm").force[0] - MOVING_MASS * self._data.joint("arm").qacc[0]
        return abs(float(pushing))

    def _ramp(self, name: str, start: float, end: float, speed: float):
        for value in _profile(start, end, speed, self._step):
            self._command(name, value)
            self._mujoco.mj_step(self._model, self._data)

    def _wait(self, seconds: float):
        self._mujoco.mj_step(self._model, self._data, nstep=round(seconds / self._step))

    def _held(self, body: int) -> bool:
        """Whether both pads touch a body."""
        data, touching = self._data, set()
        for pair in data.contact.geom[: data.ncon]:
            for pad, other in (pair, pair[::-1]):
                if pad in self._world.pads and self._world.owner[other] == body:
                    touching.add(pad)
        return len(touching) == 2

    def _show(self, name: str):
        if self._film:
            self._frames.append((name, self._world.poses()))


def _profile(start: float, end: float, speed: float, step: float) -> np.ndarray:
    """Positions every `step` (s) on the way, starting and stopping softly; `speed` (m/s) is the mean."""
    count = max(1, round(abs(end - start) / speed / step))
    share = np.arange(1, count + 1) / count
    return start + (end - start) * share * share * (3.0 - 2.0 * share)
