"""Sensor models of depth: statistics on planes as documented, holes and flying pixels where they belong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lisa_ros.errors import ConfigurationError, InvalidImageError
from lisa_ros.simulator import frame_rng, generate_scene, noisy_depth
from lisa_ros.simulator.depth_noise import MODELS, SENSORS

pytestmark = pytest.mark.unit

HEIGHT, WIDTH = 240, 320
K = np.array([[580.0, 0.0, 159.5], [0.0, 580.0, 119.5], [0.0, 0.0, 1.0]])  # the pixels of a VGA image
NOISY = tuple(SENSORS)
PUBLISHED_SIGMA = {  # m at z m, facing the surface, as the papers give it
    "kinect": lambda z: 0.0012 + 0.0019 * (z - 0.4) ** 2,
    "realsense": lambda z: 0.08 * z**2 / (425.0 * 0.05),
}


def plane(normal, distance, height=HEIGHT, width=WIDTH, k=K):
    """(H, W) float32: depth of the plane normal @ point = distance."""
    v, u = np.indices((height, width))
    rays = np.stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones((height, width))], -1)
    return (distance / (rays @ normal)).astype(np.float32)


def two_walls(near=0.7, far=1.2):
    """A near wall on the right half of the image before a far one."""
    depth = np.full((HEIGHT, WIDTH), far, np.float32)
    depth[:, WIDTH // 2 :] = near
    return depth


def measured(depth, model, seed=0):
    return noisy_depth(depth, K, model, np.random.default_rng(seed))


@pytest.mark.parametrize("model", NOISY)
@pytest.mark.parametrize("z", [0.8, 1.5, 3.0])
def test_axial_noise_of_a_wall_is_the_published_one(model, z):
    noisy = measured(np.full((HEIGHT, WIDTH), z, np.float32), model)
    error = noisy[noisy > 0] - z
    expected = PUBLISHED_SIGMA[model](z)
    assert error.std() == pytest.approx(expected, rel=0.06)
    assert abs(error.mean()) < 0.05 * expected


@pytest.mark.parametrize("model", NOISY)
def test_slanted_planes_are_unbiased_and_need_no_edges(model):
    exact = plane(np.array([0.0, np.sin(0.9), np.cos(0.9)]), 0.7)
    noisy = measured(exact, model)
    seen = (noisy > 0) & (exact < 2.0)
    error = (noisy - exact)[seen] / PUBLISHED_SIGMA[model](exact[seen])
    assert abs(error.mean()) < 0.02
    assert error.std() == pytest.approx(1.0, abs=0.06)
    assert np.abs(error).max() < 6.0  # nothing flies where there is no jump
    assert (noisy > 0)[exact < 2.0].mean() > 1.0 - 2.0 * SENSORS[model].dropout - 0.001


@pytest.mark.parametrize("model", NOISY)
def test_disparities_are_rounded_to_the_sensor_s_steps(model):
    sensor = SENSORS[model]
    noisy = measured(plane(np.array([0.3, 0.0, 0.95]), 0.9), model)
    steps = sensor.focal * sensor.baseline / noisy[noisy > 0].astype(np.float64) / sensor.disparity_step
    assert np.abs(steps - np.rint(steps)).max() < 1e-3
    assert len(np.unique(np.rint(steps))) > 5


@pytest.mark.parametrize("model", NOISY)
def test_shadow_lies_left_of_a_near_thing_and_is_as_wide_as_the_baseline_says(model):
    near, far, edge = 0.7, 1.2, WIDTH // 2
    noisy = measured(two_walls(near, far), model)
    expected = K[0, 0] * SENSORS[model].baseline * (1 / near - 1 / far)
    holes = (noisy == 0).mean(axis=0)
    assert (holes > 0.99).sum() == pytest.approx(expected, abs=1.0)
    assert np.flatnonzero(holes > 0.99).max() == edge - 1
    assert holes[: edge - int(expected) - 4].max() < 0.05 and holes[edge + 4 :].max() < 0.05
    mirrored = measured(two_walls(near, far)[:, ::-1].copy(), model)
    assert (mirrored == 0).mean(axis=0).max() < 0.05


@pytest.mark.parametrize("model", NOISY)
def test_edge_pixels_fly_between_the_surfaces_and_edges_wander(model):
    near, far, edge = 0.7, 1.2, WIDTH // 2
    noisy = measured(two_walls(near, far)[:, ::-1].copy(), model)  # the side without a shadow
    between = (noisy > near + 0.05) & (noisy < far - 0.05)
    columns = np.flatnonzero(between.any(axis=0))
    assert 0.02 < between[:, edge - 1 : edge + 1].mean() < 0.5
    assert columns.min() >= edge - 4 and columns.max() <= edge + 3
    wandered = (noisy[:, :edge] > far - 0.05).any() and ((noisy > 0) & (noisy < near + 0.05))[:, edge:].any()
    assert wandered


@pytest.mark.parametrize("model", NOISY)
def test_grazing_surfaces_are_lost(model):
    def lost(angle):
        noisy = measured(plane(np.array([0.0, np.sin(angle), np.cos(angle)]), np.cos(angle)), model)
        return (noisy[115:125] == 0).mean()  # the middle, where the ray is near the optical axis

    start, end = np.radians(SENSORS[model].grazing)
    assert lost(start - 0.1) < 0.03
    assert 0.3 < lost((start + end) / 2) < 0.7


@pytest.mark.parametrize("model", NOISY)
def test_out_of_range_is_a_hole(model):
    depth = np.full((HEIGHT, WIDTH), 1.0, np.float32)
    depth[:, :100], depth[:, 200:] = SENSORS[model].near * 0.9, SENSORS[model].far * 1.1
    noisy = measured(depth, model)
    assert (noisy[:, :90] == 0).all() and (noisy[:, 210:] == 0).all()
    assert (noisy[:, 110:150] > 0).mean() > 0.9


def test_none_is_the_identity_and_draws_nothing():
    exact, rng = generate_scene(3).depth, np.random.default_rng(4)
    before = rng.bit_generator.state
    same = noisy_depth(exact, K, "none", rng)
    assert (same == exact).all() and same is not exact and not np.shares_memory(same, exact)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("model", NOISY)
def test_frames_have_their_own_noise_and_keep_it(model):
    scene = generate_scene(8)
    exact = scene.depth.copy()
    first, again, other, later = (
        noisy_depth(scene.depth, scene.intrinsics, model, frame_rng(*frame))
        for frame in ((8, 0.25), (8, 0.25), (9, 0.25), (8, 0.5))
    )
    assert (first == again).all() and (scene.depth == exact).all()
    assert (first != other).mean() > 0.5 and (first != later).mean() > 0.5


@pytest.mark.parametrize("model", NOISY)
def test_scenes_stay_recognisable(model):
    scene = generate_scene(12, 480, 640)
    noisy = noisy_depth(scene.depth, scene.intrinsics, model, frame_rng(12, 0.0))
    near = scene.depth < 1.5
    assert (noisy[near] > 0).mean() > 0.85
    error = np.abs(noisy - scene.depth)[near & (noisy > 0)]
    assert np.median(error) < 0.004 and (error > 0.02).mean() < 0.03


@settings(max_examples=60)
@given(
    depth=arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=24),
                        elements=st.floats(width=32, allow_nan=True, allow_infinity=True)),
    model=st.sampled_from(MODELS),
)  # fmt: skip
def test_any_image_gives_finite_depth_and_holes_stay_holes(depth, model):
    before = depth.copy()
    noisy = measured(depth, model)
    assert noisy.shape == depth.shape and noisy.dtype == np.float32
    assert np.isfinite(noisy).all() and (noisy >= 0).all()
    assert (noisy[~(np.isfinite(depth) & (depth > 0))] == 0).all()
    assert np.array_equal(depth, before, equal_nan=True)


def test_bad_arguments_are_named():
    exact = np.ones((4, 4), np.float32)
    with pytest.raises(ConfigurationError, match=r"'sonar'.*none, kinect, realsense"):
        measured(exact, "sonar")
    for depth in (np.ones((4, 4, 1), np.float32), np.ones((4, 4), np.uint16), np.ones((0, 4), np.float32)):
        with pytest.raises(InvalidImageError, match="depth must be"):
            measured(depth, "kinect")
    with pytest.raises(InvalidImageError, match="intrinsics"):
        noisy_depth(exact, np.ones(4), "kinect", np.random.default_rng(0))
