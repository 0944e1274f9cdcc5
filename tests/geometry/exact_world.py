"""Exact scenes for tests: boxes, cylinders and balls on planes, ray by ray, in the optical frame."""

from dataclasses import dataclass, field

import numpy as np

from lisa_ros.geometry import CameraModel

VGA = CameraModel(640, 480, 580.0, 580.0, 319.5, 239.5)


@dataclass
class World:
    """A scene whose z axis is up, seen by a camera at `eye` that looks at `target`; depth and owners by ray casting.

    Everything is added in world coordinates; `render` gives depth (H, W) float32 m along the optical axis and the
    number of the thing at each pixel, -1 for none.
    """

    camera: CameraModel = VGA
    eye: tuple = (0.0, -0.6, 0.5)
    target: tuple = (0.0, 0.0, 0.0)
    things: list = field(default_factory=list)

    @property
    def pose(self) -> np.ndarray:
        """(4, 4) world <- optical frame."""
        eye, target = np.array(self.eye, float), np.array(self.target, float)
        forward = (target - eye) / np.linalg.norm(target - eye)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        if np.linalg.norm(right) < 1e-6:
            right = np.array([1.0, 0.0, 0.0])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.column_stack([right, np.cross(forward, right), forward])
        pose[:3, 3] = eye
        return pose

    @property
    def up(self) -> np.ndarray:
        """(3,) against gravity, in the optical frame."""
        return self.pose[:3, :3].T @ np.array([0.0, 0.0, 1.0])

    def floor(self, height=0.0, x=(-9.0, 9.0), y=(-9.0, 9.0)) -> int:
        """A level rectangle."""
        return self.box((np.mean(x), np.mean(y), height - 0.005), (x[1] - x[0], y[1] - y[0], 0.01))

    def box(self, center, size, yaw=0.0) -> int:
        """An upright cuboid."""
        c, s = np.cos(yaw), np.sin(yaw)
        axes = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])

        def hit(origin, rays):
            start, direction = (origin - center) @ axes, rays @ axes
            half = np.array(size) / 2
            with np.errstate(divide="ignore", invalid="ignore"):
                first, second = (-half - start) / direction, (half - start) / direction
            near = np.minimum(first, second).max(axis=-1)
            far = np.maximum(first, second).min(axis=-1)
            return np.where((near < far) & (near > 0), near, np.inf)

        return self._add(hit)

    def ball(self, center, radius) -> int:
        def hit(origin, rays):
            away = origin - np.array(center)
            a, b, c = (rays**2).sum(axis=-1), rays @ away, away @ away - radius**2
            root = b**2 - a * c
            return np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)

        return self._add(hit)

    def cylinder(self, base, radius, height) -> int:
        """Upright, on `base`."""

        def hit(origin, rays):
            away = origin - np.array(base)
            a = (rays[..., :2] ** 2).sum(axis=-1)
            b, c = rays[..., :2] @ away[:2], away[:2] @ away[:2] - radius**2
            root = b**2 - a * c
            with np.errstate(divide="ignore", invalid="ignore"):
                side = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
                level = away[2] + side * rays[..., 2]
                side = np.where((level >= 0) & (level <= height) & (side > 0), side, np.inf)
                top = (height - away[2]) / rays[..., 2]
                spot = away[:2] + top[..., None] * rays[..., :2]
            top = np.where(((spot**2).sum(axis=-1) <= radius**2) & (top > 0), top, np.inf)
            return np.minimum(side, top)

        return self._add(hit)

    def render(self) -> tuple[np.ndarray, np.ndarray]:
        """Depth (H, W) float32 m, 0 = none, and owners (H, W) int."""
        camera, pose = self.camera, self.pose
        v, u = np.mgrid[: camera.height, : camera.width]
        rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(v.shape)], axis=-1)
        rays = rays @ pose[:3, :3].T
        hits = np.stack([hit(pose[:3, 3], rays) for hit in self.things])
        depth = hits.min(axis=0)
        owner = np.where(np.isfinite(depth), hits.argmin(axis=0), -1)
        return np.where(np.isfinite(depth), depth, 0).astype(np.float32), owner

    def _add(self, hit) -> int:
        self.things.append(hit)
        return len(self.things) - 1


def grey(camera: CameraModel) -> np.ndarray:
    return np.full((camera.height, camera.width, 3), 128, np.uint8)
