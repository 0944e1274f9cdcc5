"""What a query found in space: clouds, boxes, grasps, support and the camera, in three.js by viser."""

import numpy as np
from viser import FrameHandle, ViserServer

from lisa_ros.console.pictures import answer_picture
from lisa_ros.console.state import ConsoleView, LocatedTarget, QueryRecord, SpatialView
from lisa_ros.geometry.poses import quaternion_of
from lisa_ros.visualization import PALETTE

_ROOT = "/query"
_FRUSTUM = (140, 160, 190)
_SUPPORT = (110, 130, 180)
_GRASP = (90, 150, 255)
_SCENE_POINT, _TARGET_POINT = 0.006, 0.0025  # m
_LABEL_GAP = 0.02  # m
_FINGER = 0.05  # m
_LINE = 2.0  # pixels
_SUPPORT_MARGIN = 0.15  # m
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1]
_CORNERS = np.array([[(n >> axis & 1) - 0.5 for axis in range(3)] for n in range(8)])


class SpatialScene:
    """The scene of the record on display; the view stays where each browser's user has turned it."""

    def __init__(self, server: ViserServer):
        """Empty."""
        self._server = server
        self._drawn: SpatialView | None = None
        self._placed: tuple[str, bool] = ("", False)
        self._root: FrameHandle | None = None

    def draw(self, view: ConsoleView):
        """Shows the view."""
        record = view.shown
        space = record.space if record else None
        if space is self._drawn:
            return
        self._drawn = space
        with self._server.atomic():
            if self._root is not None:
                self._root.remove()  # and all that is below it
                self._root = None
            if space is not None:
                self._add(record, space)

    def _add(self, record: QueryRecord, space: SpatialView):
        self._turn(space)
        self._root = self._server.scene.add_frame(_ROOT, axes_length=0.05, axes_radius=0.0015, origin_radius=0.003)
        self._cloud("scene", space.scene_points, space.scene_colors, _SCENE_POINT)
        self._cloud("targets", space.points, space.colors, _TARGET_POINT)
        for target in space.located:
            self._located(target)
        if space.support is not None:
            self._support(space.support, space.located)
        if space.camera is not None and space.vertical_fov:
            self._frustum(record, space)

    def _cloud(self, name: str, points: np.ndarray, colors: np.ndarray, size: float):
        if len(points):
            self._server.scene.add_point_cloud(
                f"{_ROOT}/{name}", points, colors, point_size=size, point_shape="circle", precision="float32",
                point_shading="flat",
            )  # fmt: skip

    def _located(self, target: LocatedTarget):
        scene, colour = self._server.scene, PALETTE[target.index % len(PALETTE)]
        name, pose = f"{_ROOT}/box{target.index}", target.pose
        corners = (_CORNERS * target.extents) @ pose[:3, :3].T + pose[:3, 3]
        scene.add_line_segments(name, corners[np.array(_EDGES)], colour, thickness=_LINE, thickness_units="screen")
        top = pose[:3, 3] + pose[:3, 2] * (target.extents[2] / 2 + _LABEL_GAP)
        words = target.label + "".join(f"\n! {warning.split(':')[0].replace('_', ' ')}" for warning in target.warnings)
        scene.add_label(f"{name}/label", words, position=top)
        if target.grasp is not None:
            self._grasp(f"{name}/grasp", target)

    def _grasp(self, name: str, target: LocatedTarget):
        half = target.grasp_width / 2
        ends = np.array(
            [
                [(0, -half, 0), (0, -half, -_FINGER)],
                [(0, half, 0), (0, half, -_FINGER)],
                [(0, -half, -_FINGER), (0, half, -_FINGER)],
                [(0, 0, -_FINGER), (0, 0, -2 * _FINGER)],
            ]
        )
        ends = ends @ target.grasp[:3, :3].T + target.grasp[:3, 3]
        self._server.scene.add_line_segments(name, ends, _GRASP, thickness=2 * _LINE, thickness_units="screen")

    def _support(self, support: np.ndarray, located: tuple[LocatedTarget, ...]):
        centres = np.array([target.pose[:3, 3] for target in located] or [support[:3, 3]])
        local = (centres - support[:3, 3]) @ support[:3, :3]
        middle = (local.min(axis=0) + local.max(axis=0)) / 2
        side = float(np.ptp(local[:, :2], axis=0).max()) + 2 * _SUPPORT_MARGIN + 0.1
        position = support[:3, 3] + support[:3, :3] @ (middle[0], middle[1], 0.0)
        self._server.scene.add_grid(
            f"{_ROOT}/support", width=side, height=side, cell_size=0.05, section_size=0.25, plane="xy",
            cell_color=_SUPPORT, section_color=_SUPPORT, wxyz=_wxyz(support), position=position,
        )  # fmt: skip

    def _frustum(self, record: QueryRecord, space: SpatialView):
        picture = answer_picture(record)
        aspect = 4 / 3 if picture is None else picture.shape[1] / picture.shape[0]
        self._server.scene.add_camera_frustum(
            f"{_ROOT}/camera", space.vertical_fov, aspect, scale=0.08, thickness=_LINE, thickness_units="screen",
            color=_FRUSTUM, image=picture, wxyz=_wxyz(space.camera), position=space.camera[:3, 3],
        )  # fmt: skip

    def _turn(self, space: SpatialView):
        """Which way is up, and where whoever looks stands: aside of the camera and somewhat above."""
        placed = space.frame_id, bool(len(space.scene_points))
        if space.frame_id == self._placed[0] and placed[1] <= self._placed[1]:
            return  # the whole scene is a better guide than targets alone; after it, the view is the person's own
        self._placed = placed
        up = np.array((0.0, -1.0, 0.0) if space.is_optical else (0.0, 0.0, 1.0))
        if space.support is not None:
            up = space.support[:3, 2]
        self._server.scene.set_up_direction(tuple(up))
        boxes = [target.pose[None, :3, 3] for target in space.located]
        centre = np.median(np.concatenate([space.points, space.scene_points, *boxes]), axis=0)
        back = space.camera[:3, 3] - centre if space.camera is not None else np.array((-0.8, 0.0, 0.5))
        aside, distance = np.cross(up, back), np.linalg.norm(back)
        aside = aside / max(np.linalg.norm(aside), 1e-6)
        position = centre + 1.1 * back + distance * (0.6 * aside + 0.15 * up)
        start = self._server.initial_camera
        start.position, start.look_at = tuple(position), tuple(centre)
        for client in self._server.get_clients().values():
            client.camera.position, client.camera.look_at = position, centre


def _wxyz(pose: np.ndarray) -> tuple[float, float, float, float]:
    x, y, z, w = quaternion_of(pose[:3, :3])
    return w, x, y, z
