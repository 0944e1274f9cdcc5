"""Depth of a camera that stands elsewhere: what the colour camera would measure, in worlds whose depth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.geometry import CameraModel
from lisa_ros.geometry.camera import is_same_view
from lisa_ros.geometry.reprojection import reproject_depth, view_of

pytestmark = pytest.mark.unit

DEPTH = CameraModel(640, 480, 380.0, 380.0, 320.0, 240.0)  # wide, as a stereo camera's
COLOR = CameraModel(1280, 720, 915.0, 910.0, 645.0, 362.0)
BALL, RADIUS = np.array([0.05, 0.02, 0.77]), 0.05


def moved(x=0.0, y=0.0, z=0.0, degrees=0.0):
    """(4, 4) colour <- depth."""
    a = np.deg2rad(degrees)
    pose = np.eye(4)
    pose[:3, :3] = [[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]
    pose[:3, 3] = x, y, z
    return pose


def seen_by(camera, pose=None, wall=1.2):
    """(H, W) z of a ball before a wall, both given in the colour camera's frame. pose: colour <- camera."""
    pose = np.eye(4) if pose is None else pose
    rows, columns = np.indices((camera.height, camera.width))
    rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(rows.shape)], -1)
    directions, origin = rays @ pose[:3, :3].T, pose[:3, 3]
    z = (wall - origin[2]) / directions[..., 2]
    to_ball = BALL - origin
    along, square = directions @ to_ball, (directions**2).sum(-1)
    rest = along**2 - square * (to_ball @ to_ball - RADIUS**2)
    with np.errstate(invalid="ignore"):
        return np.where(rest > 0, (along - np.sqrt(np.maximum(rest, 0))) / square, z).astype(np.float32)


@settings(max_examples=10)
@given(st.floats(-0.08, 0.08), st.floats(-0.03, 0.03), st.floats(-0.02, 0.02), st.floats(-4, 4))
def test_depth_is_what_the_colour_camera_would_measure(x, y, z, degrees):
    pose = moved(x, y, z, degrees)
    view = view_of(COLOR, DEPTH)
    found, truth = reproject_depth(seen_by(DEPTH, pose), DEPTH, view, pose), seen_by(view)
    covered = found > 0
    assert covered.mean() > 0.8
    off = np.abs(found - truth)[covered]
    assert np.quantile(off, 0.97) < 0.004  # the rest is the ball's rim, a pixel wide
    inside = truth < BALL[2] - RADIUS / 2
    assert covered[inside].mean() > 0.95  # the rest shows its side
    assert np.quantile(np.abs(found - truth)[inside & covered], 0.97) < 0.004


def test_what_the_depth_camera_does_not_see_is_no_depth():
    pose = moved(x=0.1)
    view = view_of(COLOR, DEPTH)
    found = reproject_depth(seen_by(DEPTH, pose), DEPTH, view, pose)
    truth = seen_by(view)
    assert (found[truth < 1] > 0).mean() > 0.9
    shadow = (found == 0) & (truth > 1.1)
    assert shadow.sum() > 100, "the wall behind the ball is hidden from the depth camera"


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_an_equal_lens_in_one_place_changes_nothing_but_the_resolution(scale):
    depth = COLOR.scaled(round(1280 * scale), round(720 * scale))
    view = view_of(COLOR, depth)
    found = reproject_depth(seen_by(depth), depth, view, np.eye(4))
    assert (found > 0).all() and np.quantile(np.abs(found - seen_by(view)), 0.99) < 0.004


def test_nothing_becomes_nothing_and_what_lies_behind_is_left_out():
    blank = np.zeros((480, 640), np.float32)
    assert not reproject_depth(blank, DEPTH, view_of(COLOR, DEPTH), moved()).any()
    assert not reproject_depth(blank + 0.5, DEPTH, view_of(COLOR, DEPTH), moved(z=-0.6)).any()
    blank[:] = np.nan
    assert not reproject_depth(blank, DEPTH, view_of(COLOR, DEPTH), moved()).any()


@pytest.mark.parametrize(
    ("size", "other", "same"),
    [((672, 376), (1920, 1080), True), ((1920, 1080), (672, 376), True), ((426, 240), (1280, 720), True),
     ((320, 240), (640, 480), True), ((33, 25), (130, 97), True), ((848, 480), (1280, 720), False),
     ((1280, 720), (848, 480), False), ((424, 240), (640, 360), False), ((640, 480), (1280, 720), False),
     ((512, 424), (960, 540), False), ((1, 1), (160, 120), False), ((480, 640), (640, 480), False)],
)  # fmt: skip
def test_sizes_of_one_view(size, other, same):
    assert is_same_view(size, other) == same
