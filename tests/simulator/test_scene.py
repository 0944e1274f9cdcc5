"""The renderer's truth: same seed, same scene; depth, masks, poses and boxes agree with one another."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lisa_ros.errors import ConfigurationError
from lisa_ros.simulator import SceneOptions, generate_scene, scene_at
from lisa_ros.simulator import scene as scene_module
from lisa_ros.simulator.layout import camera_of
from lisa_ros.simulator.layout_sampling import sample_layout
from lisa_ros.simulator.palette import colours_of
from lisa_ros.simulator.shapes import CATEGORIES

pytestmark = pytest.mark.unit


def world_points(scene):
    """(H, W, 3): every pixel's point in the world, from depth, intrinsics and pose."""
    height, width = scene.depth.shape
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    k = scene.intrinsics
    rays = np.stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones_like(u)], -1)
    return (rays * scene.depth[..., None]) @ scene.camera_pose[:3, :3].T + scene.camera_pose[:3, 3]


def in_box_frame(item, points):
    """Points relative to an object's box, in the box's axes."""
    c, s = np.cos(item.yaw), np.sin(item.yaw)
    return (points - item.centre) @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def assert_consistent(scene):
    points = world_points(scene)
    assert scene.image.dtype == np.uint8 and scene.depth.dtype == np.float32 and scene.instances.dtype == np.uint8
    assert scene.image.shape == (*scene.depth.shape, 3) and scene.instances.shape == scene.depth.shape
    assert np.isfinite(scene.depth).all() and (scene.depth > 0.1).all()
    assert scene.instances.max(initial=0) <= len(scene.objects)
    for number, item in enumerate(scene.objects, 1):
        mask = scene.mask(item.id)
        assert item.id == number and item.pixels == mask.sum()
        assert item.colour in colours_of(item.category)
        assert 0.0 <= item.visible <= 1.0
        if not item.pixels:
            continue
        reach = np.abs(in_box_frame(item, points[mask].astype(np.float64)))
        assert (reach <= item.extents / 2 + 1e-3).all(), (scene.seed, item.category)
        v, u = np.nonzero(mask)
        assert item.centroid == pytest.approx((u.mean(), v.mean()))
    # Within the table's reach, what is no object is the table top or far below it.
    ground = points[scene.instances == 0]
    near = ground[(np.hypot(ground[:, 0], ground[:, 1]) < 1.4) & (ground[:, 2] > -0.3)]
    assert (np.abs(near[:, 2]) < 1e-3).all()


def test_same_seed_same_scene():
    first = generate_scene(5)
    scene_module._layout.cache_clear()
    second = generate_scene(5)
    assert (first.image == second.image).all() and (first.depth == second.depth).all()
    assert (first.instances == second.instances).all()
    assert (generate_scene(6).image != first.image).any()


@settings(max_examples=40)
@example(seed=4398046511104, low=1, more=0, camera="low", textures="seen")  # its first draw is empty
@given(
    seed=st.integers(0, 2**42),
    low=st.integers(1, 15),
    more=st.integers(0, 14),
    camera=st.sampled_from(["default", "low", "high", "other"]),
    textures=st.sampled_from(["seen", "unseen"]),
)
def test_truth_is_consistent(seed, low, more, camera, textures):
    options = {"objects": (low, min(15, low + more)), "camera": camera, "textures": textures}
    scene = generate_scene(seed, 96, 128, **options)
    assert low <= len(scene.objects) <= options["objects"][1]
    assert_consistent(scene)


def test_a_seed_stays_the_scene_that_it_was():
    """Data sets, recordings and the packaged model's figures name scenes by their seeds."""
    placed = [(item.category, item.colour, item.x, item.y) for item in sample_layout(5, SceneOptions()).objects]
    assert [words[:2] for words in placed] == [
        *(("lemon", "yellow"), ("pan", "grey"), ("pan", "red")),
        *(("pear", "yellow"), ("pan", "blue"), ("candle", "orange")),
    ]
    expected = ((0.236766, 0.125745), (-0.272536, 0.161488), (0.196422, -0.146482), (-0.116205, -0.295019),
                (0.01552, 0.024281), (-0.375314, 0.448126))  # fmt: skip
    np.testing.assert_allclose([words[2:] for words in placed], expected, atol=1e-6)


def test_an_image_in_which_no_object_fits_is_refused():
    with pytest.raises(ConfigurationError, match=r"room for 3 objects in an image 0\.0039 times as high"):
        generate_scene(0, 16, 4096)


def test_every_category_and_shape_lies_in_its_box():
    seen = set()
    for seed in range(25):
        scene = generate_scene(seed, objects=(8, 12), height=120, width=160)
        assert_consistent(scene)
        seen |= {item.category for item in scene.objects}
    assert seen == set(CATEGORIES)


def test_size_changes_pixels_only():
    small, large = generate_scene(11), generate_scene(11, 480, 640)
    assert [(o.category, o.colour) for o in small.objects] == [(o.category, o.colour) for o in large.objects]
    assert (small.camera_pose == large.camera_pose).all()
    for a, b in zip(small.objects, large.objects, strict=True):
        assert (a.centre == b.centre).all() and (a.extents == b.extents).all()
    assert large.intrinsics[0, 0] / small.intrinsics[0, 0] == pytest.approx(2.5)
    assert_consistent(large)
    # the centre of the image is the same ray, so the same depth
    assert large.depth[239:241, 319:321].mean() == pytest.approx(small.depth[95:97, 127:129].mean(), rel=0.02)


def test_intrinsics_project_boxes_onto_their_pixels():
    scene = generate_scene(3)
    for item in scene.objects:
        optical = np.linalg.inv(scene.camera_pose) @ np.append(item.centre, 1.0)
        u, v = (scene.intrinsics @ optical[:3])[:2] / optical[2]
        rows, columns = np.nonzero(scene.mask(item.id))
        slack = 0.25 * max(np.ptp(rows), np.ptp(columns)) + 3
        assert columns.min() - slack <= u <= columns.max() + slack
        assert rows.min() - slack <= v <= rows.max() + slack


def test_visible_share_is_what_the_object_would_cover_alone():
    layout = sample_layout(8, SceneOptions(objects=(14, 15), camera="low"))
    camera = camera_of(layout, 192, 256)
    scene = scene_module._render(layout, camera, 192, 256, 0.0, 0)
    assert any(item.visible < 0.95 for item in scene.objects)
    for item, placed in zip(scene.objects, layout.objects, strict=True):
        alone = scene_module._render(replace(layout, objects=(placed,)), camera, 192, 256, 0.0, 0)
        assert item.pixels == pytest.approx(item.visible * alone.objects[0].pixels)


def test_objects_stand_apart():
    for seed in range(10):
        scene = generate_scene(seed, objects=(9, 15), height=72, width=96, camera="high")
        points = world_points(scene)
        for item in scene.objects:
            others = points[(scene.instances > 0) & (scene.instances != item.id)]
            own = points[scene.mask(item.id)]
            if len(own) and len(others):
                gaps = np.hypot(*(own[:, None, :2] - others[None, :, :2]).transpose(2, 0, 1))
                assert gaps.min() > 0.004, (seed, item.category)


def test_several_of_a_kind_in_about_two_fifths_of_the_scenes():
    counts = []
    for seed in range(150):
        names = [placed.category for placed in sample_layout(seed, SceneOptions()).objects]
        counts.append((len(names), len(set(names)) < len(names)))
    repeated = np.mean([again for _, again in counts])
    assert 0.28 <= repeated <= 0.54
    assert 5.0 <= np.mean([count for count, _ in counts]) <= 7.0


def test_typical_objects_are_seen_well():
    scenes = [generate_scene(seed) for seed in range(25)]
    items = [item for scene in scenes for item in scene.objects]
    assert np.mean([item.queryable for item in items]) > 0.95
    widths = [np.ptp(np.nonzero(scene.mask(item.id))[1]) for scene in scenes for item in scene.objects if item.pixels]
    assert 20 <= np.median(widths) <= 70


def test_camera_motion_moves_the_camera_only():
    still, moved = generate_scene(4), scene_at(4, 1.0, "camera")
    assert (scene_at(4, 0.0, "camera").instances == still.instances).all()
    assert np.linalg.norm(moved.camera_pose[:3, 3] - still.camera_pose[:3, 3]) > 0.02
    for a, b in zip(still.objects, moved.objects, strict=True):
        assert (a.centre == b.centre).all()
    assert_consistent(moved)


def test_object_motion_turns_the_arrangement():
    still, moved = generate_scene(4), scene_at(4, 1.0, "objects")
    assert (moved.camera_pose == still.camera_pose).all()
    a, b = (np.array([item.position for item in scene.objects]) for scene in (still, moved))
    assert np.linalg.norm(a - b, axis=1).max() > 0.02
    assert np.linalg.norm(a[:, None] - a[None], axis=-1) == pytest.approx(np.linalg.norm(b[:, None] - b[None], axis=-1))
    assert_consistent(moved)


def test_static_scene_does_not_change_and_moving_frames_have_fresh_noise():
    assert (scene_at(4, 3.0, "static").image == generate_scene(4).image).all()
    full_turn = scene_at(4, 8.0, "camera")  # back where it began
    assert full_turn.depth == pytest.approx(generate_scene(4).depth, abs=1e-4)
    assert (full_turn.image != generate_scene(4).image).any()


@pytest.mark.parametrize(
    "options", [{"objects": (0, 3)}, {"objects": (5, 4)}, {"objects": (3, 16)}, {"camera": "above"}, {"textures": "x"}]
)
def test_options_out_of_range(options):
    with pytest.raises(ConfigurationError):
        generate_scene(0, **options)


def test_motion_and_size_out_of_range():
    with pytest.raises(ConfigurationError, match="motion"):
        scene_at(0, 0.0, "wobble")
    with pytest.raises(ConfigurationError, match="16 pixels"):
        generate_scene(0, 8, 8)
