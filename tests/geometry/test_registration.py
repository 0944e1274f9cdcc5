"""Depth of another lens: where it lies afterwards, against surfaces whose depth is known along every ray."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.cli import main
from lisa_ros.geometry import CameraModel
from lisa_ros.geometry.registration import displacement, is_registered, register, registered_camera
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.scannet.convert import convert
from lisa_ros.scannet.sens import SensHeader
from lisa_ros.scannet.sens_writer import SensWriter

pytestmark = pytest.mark.unit

COLOR = CameraModel(1296, 968, 1170.19, 1170.19, 647.75, 483.75)
SCANNET = CameraModel(640, 480, 577.87, 577.87, 319.5, 239.5)  # the depth camera of a published scan
OTHER = CameraModel(640, 480, 500.0, 505.0, 310.0, 245.0)
WIDE = CameraModel(512, 424, 365.0, 365.0, 256.0, 208.0)  # a Kinect 2's


def tilted_plane(camera):
    """(H, W) depth in m that a camera in the origin sees of z = 2 + 0.3 x - 0.2 y."""
    rows, columns = np.indices((camera.height, camera.width))
    x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
    return 2 / (1 - 0.3 * x + 0.2 * y)


@pytest.mark.parametrize("depth", [OTHER, WIDE])
def test_a_plane_lies_where_it_is(depth):
    wanted = registered_camera(COLOR, depth)
    found, truth = register(tilted_plane(depth), depth, wanted), tilted_plane(wanted)
    seen = found > 0
    assert seen.mean() > 0.7
    assert np.abs(found - truth)[seen].max() < 0.003  # half a pixel of this slope
    assert COLOR.scaled(wanted.width, wanted.height) == wanted


@settings(max_examples=30)
@given(st.floats(-0.3, 0.3), st.floats(-0.25, 0.25), st.floats(0.8, 1.3), st.floats(-30, 30))
def test_a_point_is_found_at_its_pixel(x, y, focal, shift):
    depth = CameraModel(640, 480, 577.87 * focal, 577.87 * focal, 319.5 + shift, 239.5)
    wanted = registered_camera(COLOR, depth)
    pixels = np.zeros((480, 640), np.uint16)
    column, row = np.rint(depth.project([(x, y, 1.0)])[0]).astype(int)
    pixels[row, column] = 1000
    rows, columns = np.nonzero(register(pixels, depth, wanted))
    if len(rows):  # where the wanted view is finer, a pixel becomes several; where it is coarser, it may be skipped
        there = wanted.project([(x, y, 1.0)])[0]
        assert np.abs(np.stack([columns, rows], axis=1) - there).max() <= 1.5


def test_a_published_calibration_is_left_as_it_is():
    assert displacement(COLOR, SCANNET) < 2 and registered_camera(COLOR, SCANNET) == SCANNET
    pixels = np.arange(640 * 480, dtype=np.uint16).reshape(480, 640)
    assert register(pixels, SCANNET, SCANNET) is pixels
    assert not is_registered(COLOR, OTHER) and not is_registered(COLOR, replace(SCANNET, height=360))


def matrix(camera):
    found = np.eye(4, dtype=np.float32)
    found[:3, :3] = camera.matrix
    return found


def test_a_converted_bag_shows_a_point_where_it_is(tmp_path, capsys):
    """A pole 3 m away, 1 m to the side: its depth and its colour agree in space."""
    color, depth = CameraModel(324, 242, 290, 290, 161.5, 120.5), CameraModel(160, 120, 110, 112, 84, 58)
    header = SensHeader(matrix(color), matrix(depth), (324, 242), (160, 120), color_compression="png")
    place = np.array([1.0, 0.4, 3.0])
    image, far = np.zeros((242, 324, 3), np.uint8), np.full((120, 160), 6000, np.uint16)
    column, row = np.rint(color.project([place])[0]).astype(int)
    image[row - 8 : row + 9, column - 8 : column + 9] = 255
    column, row = np.rint(depth.project([place])[0]).astype(int)
    far[row - 3 : row + 4, column - 3 : column + 4] = 3000
    with SensWriter(tmp_path / "x.sens", header) as writer:
        writer.add(image, far)
    manifest = convert(tmp_path / "x.sens", tmp_path / "bag")
    assert manifest["depth"]["registered_from"]["k"] == pytest.approx(depth.matrix.ravel().tolist())
    with RgbdBag(tmp_path / "bag") as bag:
        (frame,) = bag.frames()
    seen = frame.depth()
    rows, columns = np.nonzero(np.isclose(seen, 3))
    points = frame.camera.scaled(*seen.shape[::-1]).back_project(rows, columns, seen[rows, columns])
    np.testing.assert_allclose(points.mean(axis=0), place, atol=0.02)
    assert main(["scannet", "info", str(tmp_path / "x.sens")]) == 0
    assert "depth lies on colour:       after registration, up to " in capsys.readouterr().out
