import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lisa_ros.geometry.boxes import oriented_box

pytestmark = pytest.mark.unit


def rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def assert_encloses(points, center, axes, extents):
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert (np.diff(extents) <= 1e-12).all()
    assert (np.abs((points - center) @ axes) <= extents / 2 + 1e-9).all()


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_finds_a_rotated_cuboid(seed):
    rng = np.random.default_rng(seed)
    size = np.array([0.3, 0.2, 0.1])
    surface = rng.uniform(-0.5, 0.5, (400, 3))
    side = rng.integers(0, 3, 400)
    surface[np.arange(400), side] = np.sign(surface[np.arange(400), side]) / 2
    corners = np.array(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5])).reshape(3, 8).T
    turn, shift = rotation(seed), rng.uniform(-1, 1, 3)
    points = (np.concatenate([surface, corners]) * size) @ turn.T + shift
    center, axes, extents = oriented_box(points)
    assert_encloses(points, center, axes, extents)
    np.testing.assert_allclose(extents, size, atol=1e-6)
    np.testing.assert_allclose(center, shift, atol=1e-6)
    np.testing.assert_allclose(np.abs(axes.T @ turn), np.eye(3), atol=1e-5)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_finds_a_rotated_rectangle_without_thickness(seed):
    rng = np.random.default_rng(seed)
    flat = np.concatenate([rng.uniform(-0.5, 0.5, (50, 2)), [[-0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [0.5, -0.5]]])
    points = np.column_stack([flat * [0.2, 0.05], np.zeros(len(flat))]) @ rotation(seed).T
    center, axes, extents = oriented_box(points)
    assert_encloses(points, center, axes, extents)
    np.testing.assert_allclose(extents, [0.2, 0.05, 0], atol=1e-5)


@pytest.mark.parametrize("points", [[[1, 2, 3]], [[0, 0, 1], [0, 0, 2]], [[0, 0, 1]] * 5, [[0] * 3, [1] * 3, [2] * 3]])
def test_points_and_lines_have_boxes(points):
    points = np.array(points, dtype=float)
    center, axes, extents = oriented_box(points)
    assert_encloses(points, center, axes, extents)
    assert extents[0] == pytest.approx(np.linalg.norm(np.ptp(points, axis=0)))
    np.testing.assert_allclose(extents[1:], 0, atol=1e-9)


@settings(max_examples=20)
@given(arrays(np.float64, st.tuples(st.integers(1, 30), st.just(3)), elements=st.floats(-2, 2, width=32)))
def test_any_points_get_a_box_that_holds_them(points):
    center, axes, extents = oriented_box(points)
    assert_encloses(points, center, axes, extents)


def test_same_points_same_box():
    points = np.random.default_rng(0).normal(size=(300, 3))
    for first, second in zip(oriented_box(points), oriented_box(points.copy()), strict=True):
        np.testing.assert_array_equal(first, second)
