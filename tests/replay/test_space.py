"""Scores in space, on scenes whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.evaluation.scans.frame_scores import FrameView, agreement, score_cloud, true_points
from lisa_ros.geometry import CameraModel

pytestmark = pytest.mark.unit

CAMERA = CameraModel(80, 60, 70.0, 70.0, 39.5, 29.5)
IMAGE = np.zeros((60, 80, 3), np.uint8)
WALL = np.full((60, 80), 2.0, np.float32)


def cloud(seed, count=200):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (count, 3)).astype(np.float32)


def square(left, top, side=12, shape=(60, 80)):
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def pose_at(x=0.0, y=0.0, z=0.0):
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


@given(st.integers(0, 1000))
@settings(max_examples=10)
def test_the_true_cloud_is_perfect(seed):
    score = score_cloud(cloud(seed), cloud(seed))
    assert score.centroid_error == 0 and score.precision == score.recall == (1.0, 1.0)


@given(st.integers(0, 1000), st.floats(0, 0.3), st.integers(0, 2))
@settings(max_examples=20)
def test_a_moved_cloud_is_off_by_its_motion(seed, distance, axis):
    motion = np.zeros(3, np.float32)
    motion[axis] = distance
    points = cloud(seed)
    score = score_cloud(points + motion, points)
    assert score.centroid_error == pytest.approx(distance, abs=1e-5)
    assert score.precision[0] <= score.precision[1] and score.recall[0] <= score.recall[1]
    if distance <= 0.0199:
        assert score.precision[0] == score.recall[0] == 1


def test_precision_and_recall_are_told_apart():
    truth = cloud(0)
    half, beside = truth[:100], truth[:100] + np.float32(5)
    assert score_cloud(half, truth).precision == (1.0, 1.0)
    assert score_cloud(half, truth).recall[1] < 0.9
    both = score_cloud(np.concatenate([truth, beside]), truth)
    assert both.recall == (1.0, 1.0) and both.precision == pytest.approx((2 / 3, 2 / 3))


def test_true_points_are_the_pixels_of_the_mask():
    depth = WALL.copy()
    depth[:30] = 0
    points = true_points(square(10, 24), FrameView(IMAGE, depth, CAMERA))
    assert len(points) == 12 * 6 and np.allclose(points[:, 2], 2)
    rows, columns = np.nonzero(square(10, 24) & (depth > 0))
    assert np.allclose(np.rint(CAMERA.project(points)), np.stack([columns, rows], 1))
    assert true_points(square(10, 10), FrameView(IMAGE, depth, CAMERA)) is None
    assert true_points(np.zeros((60, 80), bool), FrameView(IMAGE, WALL, CAMERA)) is None


@given(st.integers(0, 60), st.integers(0, 40), st.integers(0, 60), st.integers(0, 40))
@settings(max_examples=20)
def test_of_one_frame_agreement_is_iou(left, top, other_left, other_top):
    view = FrameView(IMAGE, WALL, CAMERA, pose_at())
    first, second = square(left, top), square(other_left, other_top)
    found = agreement(first, view, second, view)
    assert found.intersection == np.count_nonzero(first & second)
    assert found.union == np.count_nonzero(first | second)


@given(st.integers(-10, 10), st.integers(-10, 10))
@settings(max_examples=20)
def test_a_moving_camera_alone_changes_nothing(right, down):
    # One pixel of the wall is 2 m / 70 wide.
    before, after = (
        FrameView(IMAGE, WALL, CAMERA, pose_at()),
        FrameView(IMAGE, WALL, CAMERA, pose_at(right / 35, down / 35)),
    )
    first, second = square(34, 24), square(34 - right, 24 - down)
    found = agreement(first, before, second, after)
    assert found.intersection == found.union == 144
    moved = agreement(first, before, first, after)
    assert right == down == 0 or moved.intersection < 144


def test_what_the_other_frame_does_not_see_is_left_out():
    hidden = WALL.copy()
    hidden[:, :40] = 1.0  # something stepped in front of the left half
    before, after = FrameView(IMAGE, WALL, CAMERA, pose_at()), FrameView(IMAGE, hidden, CAMERA, pose_at())
    found = agreement(square(34, 24), before, square(40, 24, 6), after)
    assert (found.intersection, found.union) == (36, 6 * 12)


def test_without_a_pose_or_shared_surface_there_is_no_agreement():
    view = FrameView(IMAGE, WALL, CAMERA, pose_at())
    assert agreement(square(1, 1), view, square(1, 1), FrameView(IMAGE, WALL, CAMERA)) is None
    assert agreement(square(1, 1), view, square(1, 1), FrameView(IMAGE, WALL, CAMERA, pose_at(x=50.0))) is None


def test_depth_of_another_resolution():
    small = FrameView(IMAGE, WALL[::2, ::2].copy(), CAMERA, pose_at())
    assert len(true_points(square(10, 10), small)) == 36
    found = agreement(square(10, 10), small, square(10, 10), small)
    assert found.intersection == found.union == 36
