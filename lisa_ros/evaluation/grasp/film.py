"""A film strip of a grasp: approach, close, lift, hold, seen by the simulator's own ray-caster; needs no display."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from lisa_ros.evaluation.grasp.gripper import Gripper
from lisa_ros.simulator.layout import Layout, SceneCamera
from lisa_ros.simulator.parts import Part, box
from lisa_ros.simulator.rendering import Body, render
from lisa_ros.visualization import load_font

_SIZE = (240, 320)  # of a picture, height and width
_DISTANCE, _ELEVATION, _FIELD = 0.62, math.radians(24.0), math.radians(46.0)  # of the film's camera: m, rad, rad
_AIM = 0.08  # m above half the height of the fingertips that it looks at
_BAR = 24  # px above the pictures for words
_HAND, _PAD = (0.16, 0.17, 0.19), (0.75, 0.33, 0.05)


def film_strip(
    layout: Layout, target: int, frames: Sequence[tuple[str, np.ndarray]], gripper: Gripper, title: str
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the stages of a grasp of object `target` side by side. frames: as of `GraspOutcome`."""
    x, y = frames[0][1][target, :2]
    height = min(poses[-3, 2] for _, poses in frames)  # of the fingertips when they are lowest
    camera = _camera(np.array([x, y, _AIM + height / 2]), _DISTANCE + height, _rotation(frames[0][1][-3, 3:])[:, 0])
    pictures = [render(_bodies(layout, poses, gripper), layout, camera, *_SIZE).image for _, poses in frames]
    strip = np.concatenate(pictures, axis=1)
    canvas = Image.new("RGB", (strip.shape[1], strip.shape[0] + 2 * _BAR), "white")
    canvas.paste(Image.fromarray(strip), (0, 2 * _BAR))
    draw, font = ImageDraw.Draw(canvas), load_font(14)
    draw.text((6, 4), title, fill="black", font=load_font(14, bold=True))
    for k, (name, _) in enumerate(frames):
        draw.text((k * _SIZE[1] + 6, _BAR + 2), name, fill="black", font=font)
    return np.asarray(canvas)


def stacked(strips: Sequence[np.ndarray]) -> np.ndarray:
    """Strips below one another, the shorter ones filled up with white."""
    width = max(strip.shape[1] for strip in strips)
    padded = [np.pad(s, ((0, 8), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in strips]
    return np.concatenate(padded)


def _camera(focus: np.ndarray, distance: float, along: np.ndarray) -> SceneCamera:
    """Looks at a point along a direction that is across the closing one, so that both fingers are seen."""
    level = math.hypot(along[0], along[1])
    away = np.array([math.cos(_ELEVATION) * along[0] / level, math.cos(_ELEVATION) * along[1] / level,
                     math.sin(_ELEVATION)])  # fmt: skip
    right = np.array([-away[1], away[0], 0.0]) / math.cos(_ELEVATION)
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([right, np.cross(-away, right), -away])
    pose[:3, 3] = focus + distance * away
    height, width = _SIZE
    focal = width / 2.0 / math.tan(_FIELD / 2.0)
    return SceneCamera(np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]]), pose)


def _bodies(layout: Layout, poses: np.ndarray, gripper: Gripper) -> list[Body]:
    """The objects, then the hand and its fingers, where `GraspWorld.poses` has them."""
    length, half = gripper.finger_length, gripper.pad_thickness / 2.0
    hand = [box((0.0, 0.0, -length - gripper.palm[2]), gripper.palm, _HAND, gloss=0.5)]
    fingers = [
        [box((0.0, sign * half, -length / 2.0), (gripper.pad_width / 2.0, half, length / 2.0), _PAD)]
        for sign in (1.0, -1.0)
    ]
    shapes = [(placed.parts, placed.corners) for placed in layout.objects]
    shapes += [(parts, _corners(parts)) for parts in (hand, *fingers)]
    return [
        Body(parts, corners, _rotation(pose[3:]), tuple(pose[:3].tolist()))
        for (parts, corners), pose in zip(shapes, poses, strict=True)
    ]


def _corners(parts: list[Part]) -> np.ndarray:
    return np.array([part.corners() for part in parts])


def _rotation(quaternion: np.ndarray) -> np.ndarray:
    """(3, 3) of a unit quaternion wxyz."""
    w, x, y, z = quaternion
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
