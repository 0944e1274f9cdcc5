"""Bags of a camera whose depth lens stands 5 cm beside the colour lens, of a world whose depth is known exactly."""

import numpy as np
from bag_streams import DEPTH, IMAGE, INFO, MS, Loose, pose

from lisa_ros.geometry import CameraModel
from lisa_ros.recordings import messages

COLOR = CameraModel(320, 240, 300.0, 300.0, 159.5, 119.5)
LENS = CameraModel(424, 240, 230.0, 230.0, 211.5, 119.5)  # wide, as a stereo camera's
DEPTH_INFO, TF, TF_STATIC = "/camera/depth/camera_info", "/tf", "/tf_static"
BALL, RADIUS, WALL = np.array([0.04, 0.02, 0.77]), 0.06, 1.2  # m, in the colour camera's frame
RED = (230, 20, 20)
BASELINE = 0.05  # m along x from the colour lens to the depth lens
START = 5_000_000_000


def seen_by(camera, x=0.0):
    """(H, W) float32 z of a ball before a wall, by a camera that stands x to the right of the colour camera."""
    rows, columns = np.indices((camera.height, camera.width))
    rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(rows.shape)], -1)
    to_ball = BALL - (x, 0, 0)
    along, square = rays @ to_ball, (rays**2).sum(-1)
    rest = along**2 - square * (to_ball @ to_ball - RADIUS**2)
    with np.errstate(invalid="ignore"):
        return np.where(rest > 0, (along - np.sqrt(np.maximum(rest, 0))) / square, WALL).astype(np.float32)


def picture():
    """(240, 320, 3) uint8 RGB: the ball in red."""
    image = np.full((COLOR.height, COLOR.width, 3), 90, np.uint8)
    image[seen_by(COLOR) < WALL] = RED
    return image


def off_the_ball(points):
    """(N,) m by which points in the colour camera's frame miss the ball's surface."""
    return np.abs(np.linalg.norm(points - BALL, axis=1) - RADIUS)


def write_two_lenses(path, frames=4, compressed=False, moving=False, transforms=True, depth_info=True):
    """compressed: depth as compressedDepth. moving: the depth lens's place comes in /tf, ten times a second."""
    topic = f"{DEPTH}/compressedDepth" if compressed else DEPTH
    kind = messages.COMPRESSED_IMAGE if compressed else messages.IMAGE
    bag = Loose(
        path, (IMAGE, messages.IMAGE), (topic, kind), (INFO, messages.CAMERA_INFO), (DEPTH_INFO, messages.CAMERA_INFO),
        (TF, messages.TF), (TF_STATIC, messages.TF),
    )  # fmt: skip
    depth = np.rint(seen_by(LENS, BASELINE) * 1000).astype(np.uint16)
    if transforms:
        bag.add(TF_STATIC, START, messages.transform(pose(0.01), START, "rig", "color_lens"))
    place = messages.transform
    for number in range(frames):
        stamp = START + number * 100 * MS
        if transforms and (moving or number == 0):
            bag.add(TF if moving else TF_STATIC, stamp, place(pose(0.01 + BASELINE), stamp, "rig", "depth_lens"))
        bag.add(INFO, stamp, messages.camera_info(COLOR, stamp, "color_lens"))
        if depth_info:
            bag.add(DEPTH_INFO, stamp, messages.camera_info(LENS, stamp, "depth_lens"))
        late = stamp + (30 * MS if moving else 0)  # between two transforms
        if compressed:
            bag.add(topic, stamp, messages.compressed_depth(depth, late, "depth_lens"))
        else:
            bag.image(topic, stamp, late, depth, "16UC1", frame_id="depth_lens")
        bag.image(IMAGE, stamp, late, picture(), "rgb8", frame_id="color_lens")
    bag.close()
    return path
