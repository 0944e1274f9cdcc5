"""CameraInfo's other fields: the ray through a pixel of the image is that of the lens, whatever a driver fills."""

import re

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from lisa_ros.errors import InvalidImageError
from lisa_ros.geometry.distortion import rectify
from lisa_ros.sensor_messages.camera_info import calibration, camera_model, doubts

pytestmark = pytest.mark.unit

FULL = [900.0, 0.0, 640.5, 0.0, 905.0, 360.5, 0.0, 0.0, 1.0]


def info(width=1280, height=720, k=FULL, binning=0, roi=None, **fields):
    x, y, w, h = roi or (0, 0, 0, 0)
    region = RegionOfInterest(x_offset=x, y_offset=y, width=w, height=h)
    return CameraInfo(width=width, height=height, k=list(k), binning_x=binning, binning_y=binning, roi=region, **fields)


def ray(camera, column, row):
    return (column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy


def projection(k):
    return [*k[:3], 0.0, *k[3:6], 0.0, *k[6:9], 0.0]


@given(st.sampled_from([1, 2, 4]), st.booleans(), st.booleans())
def test_binning_and_region_of_the_whole_sensor(binning, with_roi, in_p):
    x, y, width, height = (320, 120, 640, 480) if with_roi else (0, 0, 1280, 720)
    more = {"p": projection(FULL)} if in_p else {}
    message = info(binning=binning, roi=(x, y, width, height) if with_roi else None, **more)
    size = width // binning, height // binning
    camera, sensor = camera_model(message, size), camera_model(info())
    assert (camera.width, camera.height) == size
    for column, row in ((0, 0), (10, 20)):  # the centre of a binned pixel is the mean of its pixels'
        there = [offset + np.mean(np.arange(at * binning, (at + 1) * binning))
                 for offset, at in ((x, column), (y, row))]  # fmt: skip
        assert ray(camera, column, row) == pytest.approx(ray(sensor, *there))


@pytest.mark.parametrize("is_k_cut", [True, False])
def test_sizes_that_are_cut_already(is_k_cut):
    half = [450.0, 0.0, 320.0, 0.0, 452.5, 180.0, 0.0, 0.0, 1.0]
    camera = camera_model(info(640, 360, half if is_k_cut else FULL, binning=2), (640, 360))
    assert (camera.fx, camera.cx) == (450.0, pytest.approx(320.0, abs=0.5))


def test_matrices_of_the_image_beside_the_size_of_the_sensor():
    half = [450.0, 0.0, 320.0, 0.0, 452.5, 180.0, 0.0, 0.0, 1.0]
    assert camera_model(info(k=half, binning=2), (640, 360)).fx == 450.0


@given(st.integers(0, 1279), st.integers(0, 719), st.integers(1, 1280), st.integers(1, 720))
def test_any_part_of_a_sensor_is_taken_for_that(x, y, width, height):
    width, height = min(width, 1280 - x), min(height, 720 - y)
    if (width, height) != (1280, 720):
        camera = camera_model(info(roi=(x, y, width, height)), (width, height))
        assert (camera.cx, camera.cy) == pytest.approx((640.5 - x, 360.5 - y))


def test_a_region_that_may_be_meant_in_two_ways_is_refused():
    message = info(640, 360, roi=(640, 180, 640, 360))
    with pytest.raises(InvalidImageError, match="roi 640x360 at 640, 180"):
        camera_model(message, (640, 360))


def test_another_size_is_told_with_all_that_is_known():
    with pytest.raises(InvalidImageError, match=r"1280x720 with binning 2x2.*640x480.*remap"):
        camera_model(info(binning=2), (640, 480))


def test_p_alone_is_a_calibration():
    camera = camera_model(info(k=[0.0] * 9, p=projection(FULL)))
    assert (camera.fx, camera.cy) == (900.0, 360.5)


BENT = {"plumb_bob": [-0.3, 0.1, 0.001, 0.0, 0.0], "equidistant": [0.05, -0.01, 0.0, 0.0],
        "rational_polynomial": [0.2, 0.1, 0.0, 0.0, 0.0, 0.5, 0.1, 0.0]}  # fmt: skip


@pytest.mark.parametrize("model", BENT)
def test_what_a_lens_bends_is_made_straight(model):
    found = calibration(info(distortion_model=model, d=BENT[model]))
    camera, maps = found.camera, found.distortion.maps(found.camera)
    point = np.array([[[0.25, -0.15, 1.0]]])
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    seen = project(point, np.zeros(3), np.zeros(3), camera.matrix, np.array(BENT[model]))[0].ravel()
    assert np.hypot(*(seen - camera.project(point[0])[0])) > 3
    image = np.zeros((720, 1280), bool)
    column, row = np.rint(seen).astype(int)
    image[row - 2 : row + 3, column - 2 : column + 3] = True
    rows, columns = np.nonzero(rectify(image, maps))
    np.testing.assert_allclose([columns.mean(), rows.mean()], camera.project(point[0])[0], atol=1.5)


def test_distortion_without_p_is_refused_where_a_rectified_image_is_needed():
    with pytest.raises(InvalidImageError, match="not rectified"):
        camera_model(info(distortion_model="plumb_bob", d=BENT["plumb_bob"]))
    assert camera_model(info(distortion_model="plumb_bob", d=[1e-5, 0.0, 0.0, 0.0, 0.0])).fx == 900


@pytest.mark.parametrize(("model", "d"), [("omni", [0.1] * 4), ("equidistant", [0.1] * 5), ("plumb_bob", [0.1] * 3)])
def test_a_distortion_that_is_not_known_is_refused_by_name(model, d):
    with pytest.raises(InvalidImageError, match=model):
        calibration(info(distortion_model=model, d=d))


def test_distortion_beside_a_filled_p_is_doubtful():
    (text,) = doubts(info(distortion_model="plumb_bob", d=BENT["plumb_bob"], p=projection(FULL)))
    assert re.match(r"distortion of up to \d\d+ pixels, and the image is taken for rectified because P is filled", text)
    (text,) = doubts(info(distortion_model="omni", d=[0.1] * 4, p=projection(FULL)))
    assert text.startswith("distortion of an unknown kind (omni [0.1")
    assert doubts(info(distortion_model="plumb_bob", d=BENT["plumb_bob"])) == []  # it is handled
    assert doubts(info(p=projection(FULL))) == []


def test_what_is_left_out_of_the_matrices_is_told():
    k, p = list(FULL), projection(FULL)
    k[1], p[3] = 7.0, -54.0
    for message in (info(k=k, p=p), info(k=k, p=p, distortion_model="plumb_bob", d=BENT["plumb_bob"])):
        told = [text.split(" in ")[0] for text in doubts(message, is_rectified=True)]
        assert told == ["a skew of 7 pixels", "an offset"]


def test_focal_lengths_that_are_no_pixels_are_refused():
    with pytest.raises(InvalidImageError, match="shares of the image"):
        camera_model(info(k=[0.7, 0.0, 0.5, 0.0, 1.2, 0.5, 0.0, 0.0, 1.0]))


@pytest.mark.parametrize("field", ["k", "p"])
def test_a_principal_point_in_the_corner_is_told(field):
    k = [900.0, 0.0, 0.0, 0.0, 905.0, 0.0, 640.5, 360.5, 1.0]
    (text,) = doubts(info(k=k) if field == "k" else info(p=projection(k)))
    assert "principal point 0, 0: the matrix may be transposed" in text
