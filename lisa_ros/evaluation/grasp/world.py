"""A scene's objects and a gripper in MuJoCo: `GraspWorld.execute` tries one grasp and says what came of it."""

import math

import numpy as np

from lisa_ros.evaluation.grasp.bodies import MASS, Piece, convex_pieces
from lisa_ros.evaluation.grasp.execution import Execution, GraspOutcome
from lisa_ros.evaluation.grasp.gripper import Approach, Gripper, add_hand, load_mujoco
from lisa_ros.simulator.layout import Layout

_STEP = 0.002  # s
_FRICTION = (0.5, 0.003, 0.002)  # sliding (1), twisting (m), rolling (m): of things on the table and on each other
_SETTLING = 0.8  # s
_MOVED, _TILTED = 0.01, math.radians(10.0)  # m, rad: of an object that does not stay where the scene has it
_ARENA = 128 << 20  # bytes for contacts; the default is too little for 15 objects


class GraspWorld:
    """The objects of a layout, at rest on the table at z = 0, and a hand that comes from above.

    unsettled: indices of objects that did not stay where the scene has them when they were let go (they roll or fall
    over); they lie where they have come to rest. model, data: MuJoCo's. bodies: (objects,) their ids in it. pads: ids
    of the pads' geoms. owner: (geoms,) id of the body that each geom moves with. rest: (qpos, qvel) with everything at
    rest. top: m, height of the highest thing. Raises ConfigurationError where MuJoCo is not installed.
    """

    def __init__(self, layout: Layout, gripper: Gripper | None = None):
        self._mujoco = load_mujoco()
        self.gripper = gripper or Gripper()
        self.layout, self.names = layout, [placed.category for placed in layout.objects]
        self.top = max((float(placed.corners[..., 2].max()) for placed in layout.objects), default=0.0)
        self.model = self._build(layout)
        self.data = self._mujoco.MjData(self.model)
        self.bodies = np.array([self.model.body(f"object{i}").id for i in range(len(self.names))], int)
        self._moving = [self.model.body(name).id for name in ("hand", "left", "right")]
        self.pads = frozenset(self.model.geom(f"{side}_pad").id for side in ("left", "right"))
        self.owner = self.model.body_rootid[self.model.geom_bodyid]
        self.unsettled = self._settle()

    def poses(self) -> np.ndarray:
        """(objects + 3, 7): positions and quaternions (wxyz) of the objects, the hand and its two fingers."""
        ids = [*self.bodies, *self._moving]
        return np.concatenate([self.data.xpos[ids], self.data.xquat[ids]], axis=1)

    def execute(self, target: int, approach: Approach, film: bool = False) -> GraspOutcome:
        """Approach, close, lift, hold; from the settled state, which the next call starts from as well."""
        return Execution(self, target, approach, film).outcome()

    def _build(self, layout: Layout):
        mujoco = self._mujoco
        spec = mujoco.MjSpec()
        spec.memory = _ARENA
        option = spec.option
        option.timestep, option.cone, option.impratio = _STEP, mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
        option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        option.noslip_iterations = 2
        option.enableflags |= int(mujoco.mjtEnableBit.mjENBL_SLEEP)  # what nobody touches costs nothing
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2.0, 2.0, 0.1], friction=_FRICTION, condim=4)
        for i, placed in enumerate(layout.objects):
            half = placed.yaw / 2.0
            body = spec.worldbody.add_body(
                name=f"object{i}", pos=[placed.x, placed.y, 0.0], quat=[math.cos(half), 0.0, 0.0, math.sin(half)]
            )
            body.add_freejoint()
            for k, piece in enumerate(convex_pieces(placed.parts)):
                self._add_piece(spec, body, piece, f"object{i}_{k}")
        add_hand(mujoco, spec, self.gripper)
        model = spec.compile()
        for i, placed in enumerate(layout.objects):
            body = model.body(f"object{i}").id
            factor = MASS[placed.category] / model.body_mass[body]
            model.body_mass[body] *= factor
            model.body_inertia[body] *= factor
        mujoco.mj_setConst(model, mujoco.MjData(model))
        return model

    def _add_piece(self, spec, body, piece: Piece, name: str):
        kinds = self._mujoco.mjtGeom
        common = {"friction": _FRICTION, "condim": 6, "density": 1000.0 * piece.density}
        if piece.kind == "hull":
            spec.add_mesh(name=name, uservert=piece.vertices.astype(np.float32).ravel(),
                          inertia=self._mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX)  # fmt: skip
            body.add_geom(type=kinds.mjGEOM_MESH, meshname=name, **common)
            return
        quaternion = np.zeros(4)
        self._mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(piece.rotation, np.float64).ravel())
        body.add_geom(
            type=getattr(kinds, f"mjGEOM_{piece.kind.upper()}"),
            size=[*piece.size, 0.0, 0.0][:3], pos=piece.centre, quat=quaternion, **common,
        )  # fmt: skip

    def _settle(self) -> frozenset[int]:
        """Lets the objects come to rest while the hand is far away, and keeps that state."""
        mujoco, model, data = self._mujoco, self.model, self.data
        mujoco.mj_forward(model, data)
        placed, upright = data.xpos[self.bodies].copy(), data.xmat[self.bodies].copy()
        mujoco.mj_step(model, data, nstep=round(_SETTLING / _STEP))
        mujoco.mj_forward(model, data)
        moved = np.linalg.norm(data.xpos[self.bodies] - placed, axis=1)
        cosine = (np.einsum("bi,bi->b", data.xmat[self.bodies], upright) - 1.0) / 2.0
        self.rest = data.qpos.copy(), data.qvel.copy()
        if any(warning.number for warning in data.warning):
            return frozenset(range(len(self.bodies)))
        loose = (moved > _MOVED) | (cosine < math.cos(_TILTED))
        return frozenset(np.flatnonzero(loose).tolist())
