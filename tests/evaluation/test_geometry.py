"""`lisa-ros eval geometry`: exact volumes, true boxes, what is counted, and the file's keys."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.evaluation.geometry.box_errors import BoxErrors, OrientedBox, box_errors, box_iou, intersection_volume
from lisa_ros.evaluation.geometry.reference_boxes import true_boxes
from lisa_ros.simulator import generate_scene

pytestmark = pytest.mark.unit


def turned(rng) -> np.ndarray:
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return axes


def some_box(rng, spread=0.06) -> OrientedBox:
    return OrientedBox(rng.uniform(-spread, spread, 3), turned(rng), rng.uniform(0.02, 0.3, 3))


@settings(max_examples=15)
@given(st.integers(0, 2**31))
def test_shared_volume_is_that_of_random_points(seed):
    rng = np.random.default_rng(seed)
    first, second = some_box(rng), some_box(rng)
    points = first.center + (rng.uniform(-0.5, 0.5, (40_000, 3)) * first.extents) @ first.axes.T
    share = (np.abs((points - second.center) @ second.axes) <= second.extents / 2).all(axis=1).mean()
    assert intersection_volume(first, second) / first.volume == pytest.approx(share, abs=0.012)
    assert intersection_volume(first, second) == pytest.approx(intersection_volume(second, first), rel=1e-6, abs=1e-12)


@settings(max_examples=15)
@given(st.integers(0, 2**31))
def test_iou_of_a_box_with_itself_is_one_and_does_not_change_with_the_frame(seed):
    rng = np.random.default_rng(seed)
    first, second, turn, shift = some_box(rng), some_box(rng), turned(rng), rng.uniform(-1, 1, 3)

    def moved(box):
        return OrientedBox(turn @ box.center + shift, turn @ box.axes, box.extents)

    assert box_iou(first, first) == pytest.approx(1)
    assert box_iou(moved(first), moved(second)) == pytest.approx(box_iou(first, second), abs=1e-6)


def test_iou_of_upright_boxes_by_hand():
    cube = OrientedBox(np.zeros(3), np.eye(3), np.ones(3))
    for shift, expected in ((0.0, 1.0), (0.5, 1 / 3), (1.0, 0.0), (2.0, 0.0)):
        assert box_iou(cube, OrientedBox(np.array([shift, 0, 0]), np.eye(3), np.ones(3))) == pytest.approx(expected)
    c = np.sqrt(0.5)
    diagonal = OrientedBox(np.zeros(3), np.array([[c, -c, 0], [c, c, 0], [0, 0, 1.0]]), np.ones(3))
    octagon = 2 * (np.sqrt(2) - 1)
    assert box_iou(cube, diagonal) == pytest.approx(octagon / (2 - octagon))
    inner = OrientedBox(np.zeros(3), diagonal.axes, np.full(3, 0.5))
    assert box_iou(cube, inner) == pytest.approx(1 / 8)
    flat = OrientedBox(np.zeros(3), np.eye(3), np.array([1, 1, 0.0]))
    assert box_iou(flat, flat) == pytest.approx(1)


def test_true_boxes_hold_what_is_seen_and_are_no_larger_than_the_simulators():
    for seed in range(4):
        scene = generate_scene(seed, 120, 160)
        v, u = np.nonzero(scene.instances)
        k, z = scene.intrinsics, scene.depth[v, u]
        rays = np.column_stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones(len(u))])
        points = (rays * z[:, None]) @ scene.camera_pose[:3, :3].T + scene.camera_pose[:3, 3]
        boxes = true_boxes(scene)
        assert boxes.keys() == {item.id for item in scene.objects}
        for item in scene.objects:
            box = boxes[item.id]
            assert box.extents[0] >= box.extents[1] and np.linalg.det(box.axes) == pytest.approx(1)
            assert box.volume <= np.prod(item.extents) * (1 + 1e-6)
            own = (points[scene.instances[v, u] == item.id] - box.center) @ box.axes
            assert (np.abs(own) <= box.extents / 2 + 1e-3).all(), (seed, item.category)
    ball = next(
        (scene, item) for scene in map(generate_scene, range(40)) for item in scene.objects if item.category == "ball"
    )
    extents = true_boxes(ball[0])[ball[1].id].extents
    np.testing.assert_allclose(extents, extents[0])


def test_measures_of_a_known_error():
    truth = OrientedBox(np.array([0, 0, 0.05]), np.eye(3), np.array([0.2, 0.1, 0.1]))
    exact = box_errors(truth, np.zeros((0, 3)), truth)
    assert exact.within and exact.iou == pytest.approx(1) and exact.width_mm == pytest.approx(0)
    angle = np.radians(20)
    axes = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    points = np.array([[0, 0, 0.05], [0.105, 0, 0.05], [0.2, 0, 0.05]])  # inside, 5 mm outside, 10 cm outside
    # Axes in another order: the vertical one first.
    box = OrientedBox(truth.center + (0, 0.003, 0), axes[:, [2, 1, 0]], np.array([0.1, 0.108, 0.2]))
    one = box_errors(box, points, truth)
    assert one.width_mm == pytest.approx(8) and one.yaw_deg == pytest.approx(20) and one.tilt_deg == pytest.approx(0)
    assert one.center_mm == pytest.approx(3) and (one.points, one.foreign) == (3, 1)
    assert not one.within  # for its yaw alone
    round_truth = OrientedBox(truth.center, np.eye(3), np.array([0.1, 0.1, 0.1]))
    assert np.isnan(box_errors(box, points, round_truth).yaw_deg)
    nothing = BoxErrors()
    assert not nothing.found and not nothing.within and nothing.iou == 0


def test_command_writes_the_keys_of_every_case(tmp_path, capsys):
    from lisa_ros.cli import main

    file = tmp_path / "geometry.json"
    arguments = ["eval", "geometry", "--scenes", "1", "--seed", "901", "--size", "320x240"]
    assert main([*arguments, "--model", "none", "--json", str(file), "--out", str(tmp_path / "out")]) == 0
    summary = json.loads(file.read_text())
    for case in ("true_clean", "true_noisy"):
        for method in ("lisa", "plain"):
            scores = summary[case][method]
            assert scores["n"] == sum(one["n"] for one in scores["categories"].values()) > 0
            assert 0 <= scores["iou"] <= 1 and 0 <= scores["within"] <= 1 and 0 <= scores["foreign"] <= 1
            assert {"width_mm", "width_mm_p90", "tilt_deg_p90", "intervals"} <= scores.keys()
    assert "predicted_clean" not in summary
    assert "true_noisy" in capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 4 * summary["true_clean"]["lisa"]["n"]
    assert "<svg" in (tmp_path / "out" / "report.html").read_text()


def test_masks_of_the_packaged_model_are_asked_for_single_objects():
    from lisa_ros import Lisa
    from lisa_ros.evaluation.geometry.evaluate_boxes import predicted_targets

    scene = generate_scene((2 << 40) + 902, 192, 256)
    targets = list(predicted_targets(scene, Lisa.from_pretrained("tabletop", device="cpu")))
    numbers = [target.item.id for target in targets]
    assert numbers and len(set(numbers)) == len(numbers) and all(target.question for target in targets)
    hits = [(target.mask & scene.mask(target.item.id)).any() for target in targets]
    assert np.mean(hits) > 0.5


@pytest.mark.parametrize("word", ["640", "640x", "8x8", "0x480", "99999x10"])
def test_bad_sizes_are_refused(word, capsys):
    from lisa_ros.cli import main

    with pytest.raises(SystemExit):
        main(["eval", "geometry", "--size", word])
    assert "WIDTHxHEIGHT" in capsys.readouterr().err
