import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.errors import InvalidImageError
from lisa_ros.geometry import CameraModel, depth_to_metres

pytestmark = pytest.mark.unit

K = [600.0, 0, 320.0, 0, 610.0, 240.0, 0, 0, 1]


def test_reads_camera_info_matrix_in_both_shapes():
    flat, square = CameraModel.from_matrix(K, 640, 480), CameraModel.from_matrix(np.reshape(K, (3, 3)), 640, 480)
    assert flat == square == CameraModel(640, 480, 600.0, 610.0, 320.0, 240.0)
    np.testing.assert_array_equal(flat.matrix, np.reshape(K, (3, 3)))


@pytest.mark.parametrize(
    "matrix", [[0.0] * 9, [np.nan, *K[1:]], [*K[:4], -610.0, *K[5:]], [*K[:2], np.inf, *K[3:]], K[:8]]
)
def test_refuses_uncalibrated_or_broken_matrices(matrix):
    with pytest.raises(InvalidImageError):
        CameraModel.from_matrix(matrix, 640, 480)


def test_scaling_keeps_rays_of_the_image_corners():
    camera, half = CameraModel(640, 480, 600, 610, 320, 240), CameraModel(640, 480, 600, 610, 320, 240).scaled(320, 240)

    def rays_of_edges(model):
        edges = np.array([-0.5]), np.array([-0.5]), np.array([1.0])
        far = np.array([model.height - 0.5]), np.array([model.width - 0.5]), np.array([1.0])
        return np.concatenate([model.back_project(*edges), model.back_project(*far)])

    np.testing.assert_allclose(rays_of_edges(half), rays_of_edges(camera), atol=1e-12)


def test_scaling_refuses_another_aspect_but_takes_rounded_sizes():
    camera = CameraModel(1920, 1080, 1000, 1000, 960, 540)
    assert camera.scaled(672, 376).fy == pytest.approx(1000 * 376 / 1080)
    with pytest.raises(InvalidImageError, match="640x480"):
        camera.scaled(640, 480)


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.integers(0, 479), st.integers(0, 639), st.floats(0.1, 10)), min_size=1, max_size=20),
    st.floats(100, 2000),
    st.floats(100, 2000),
)
def test_projection_inverts_back_projection(pixels, fx, fy):
    rows, columns, depth = (np.array(values) for values in zip(*pixels, strict=True))
    camera = CameraModel(640, 480, fx, fy, 315.3, 244.1)
    again = camera.project(camera.back_project(rows, columns, depth))
    np.testing.assert_allclose(again, np.column_stack([columns, rows]), atol=1e-6)


@pytest.mark.parametrize("encoding", ["16UC1", "mono16"])
def test_depth_in_millimetres(encoding):
    metres = depth_to_metres(np.array([[0, 1, 1500, 65535]], np.uint16), encoding)
    assert metres.dtype == np.float32
    np.testing.assert_allclose(metres, [[0, 0.001, 1.5, 65.535]], rtol=1e-6)


def test_every_kind_of_invalid_depth_becomes_zero_and_the_input_stays():
    raw = np.array([[np.nan, np.inf, -np.inf, -1.0, 0.0, 2.5]], np.float32)
    metres = depth_to_metres(raw, "32FC1")
    np.testing.assert_array_equal(metres, np.array([[0, 0, 0, 0, 0, 2.5]], np.float32))
    assert np.isnan(raw[0, 0])


@pytest.mark.parametrize(
    ("image", "encoding"),
    [
        (np.zeros((2, 2), np.uint8), "8UC1"),
        (np.zeros((2, 2), np.float32), "16UC1"),
        (np.zeros((2, 2), np.uint16), "32FC1"),
        (np.zeros((2, 2, 1), np.float32), "32FC1"),
    ],
)
def test_unknown_depth_is_refused_by_name(image, encoding):
    with pytest.raises(InvalidImageError, match=encoding):
        depth_to_metres(image, encoding)
