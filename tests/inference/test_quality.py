"""Features of masks, and the calibration that makes a probability of them."""

import json
import math
import time

import numpy as np
import pytest

from lisa_ros import Lisa
from lisa_ros.errors import CheckpointError
from lisa_ros.geometry.mask_features import mask_features
from lisa_ros.inference.quality import FILE, PREDICTORS, QualityCalibration, find_calibration, mask_digest
from lisa_ros.types import MaskFeatures

pytestmark = pytest.mark.unit
GOOD, BAD = MaskFeatures(1.0, 0.95, 0.9), MaskFeatures(0.5, 0.5, 0.3)


def disc(height, width, radius, slope=1.0):
    """Logits of a disc in the middle that fall by `slope` a pixel."""
    rows, columns = np.mgrid[:height, :width]
    return (slope * (radius - np.hypot(rows - height / 2, columns - width / 2))).astype(np.float32)


def calibration(network, **changes):
    weights = dict.fromkeys(PREDICTORS, 0.0) | {"logit_stability": 1.0}
    return QualityCalibration(0.5, weights, mask_digest(network), **changes)


def test_features_of_a_disc_are_those_of_its_geometry():
    found = mask_features(disc(200, 300, 50, slope=0.5))
    assert found.largest_share == 1 and found.compactness > 0.97
    assert found.stability == pytest.approx((50 - 2) ** 2 / (50 + 2) ** 2, abs=0.02)


def test_features_do_not_depend_on_the_size_of_the_image():
    small, large = (mask_features(disc(180 * k, 320 * k, 40 * k, slope=0.2 / k)) for k in (1, 6))
    for name, value in vars(small).items():
        assert getattr(large, name) == pytest.approx(value, abs=0.03), name


def test_two_parts_dents_and_thin_lines():
    logits = np.full((60, 60), -9.0, np.float32)
    logits[10:20, 10:20] = logits[40:50, 10:40] = 9
    assert mask_features(logits).largest_share == pytest.approx(0.75)
    logits[:] = -9
    logits[10:50, 10:20] = logits[10:20, 10:50] = 9  # an L
    assert mask_features(logits).compactness < 0.65
    wide = np.full((720, 1280), -9.0, np.float32)
    wide[100] = 9  # one row, which samples might miss
    assert mask_features(wide) == MaskFeatures(1.0, 1.0, 1.0)
    assert mask_features(np.full((4, 4), -1.0, np.float32)) is None


@pytest.mark.alone
def test_features_of_an_image_of_720p_take_little_time():
    """0.3 to 1.4 ms on an idle core; this machine may be busy."""
    logits, times = disc(720, 1280, 300, slope=0.05), []
    for _ in range(20):
        started = time.perf_counter()
        mask_features(logits)
        times.append(time.perf_counter() - started)
    assert min(times) < 3e-3


def test_a_probability_is_the_regression_and_stays_within_its_bounds(lisa):
    found = calibration(lisa.network)
    assert found.probability(0.9, GOOD) == pytest.approx(1 / (1 + math.exp(-0.5 - math.log(9))))
    assert found.probability(0.9, BAD) < 0.5 < found.probability(0.9, GOOD)
    for extreme in (MaskFeatures(1.0, 1.0, 1.0), MaskFeatures(0.0, 0.0, 0.0)):
        assert 0 < found.probability(1.0, extreme) < 1


def test_a_checkpoint_without_calibration_tells_no_quality(lisa, frame):
    (target,) = lisa.segment(frame, "the mug").targets
    assert math.isnan(target.quality) and target.features is not None


def test_a_calibration_is_read_and_told(load, lisa, images, tmp_path):
    path = tmp_path / "mine.json"
    calibration(lisa.network, held_out={"ece": 0.01}).write(path)
    assert QualityCalibration.read(path) == calibration(lisa.network, held_out={"ece": 0.01})
    engine = load(quality_calibration=path)
    frame = engine.encode(images[1])
    for target in (*engine.segment(frame, "the mug").targets, *engine.chat(frame, "What is it?").targets):
        expected = engine.model.calibration.probability(target.mean_probability, target.features)
        assert target.quality == expected and 0 < target.quality < 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"checkpoint": "of another"}, "other weights"),
        ({"bias": float("nan")}, "not a calibration"),
        ({"bias": "1"}, "not a calibration"),
        ({"weights": {"area": 1.0}}, "not a calibration"),
        ({"weights": None}, "not a calibration"),
    ],
)
def test_a_calibration_that_does_not_belong_here_is_no_number(lisa, tmp_path, change, words):
    path = tmp_path / FILE
    calibration(lisa.network).write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=words):
        find_calibration(path, tmp_path, lisa.network)
    with pytest.warns(RuntimeWarning, match=words):
        assert find_calibration(None, tmp_path, lisa.network) is None
    with pytest.raises(CheckpointError, match="missing"):
        find_calibration(tmp_path / "none.json", tmp_path, lisa.network)


def test_weights_are_told_apart_and_precisions_are_not(load, lisa):
    half = load(precision="bf16")
    before = mask_digest(half.network)
    assert before == mask_digest(lisa.network)
    next(half.network.head.projection.parameters()).data[0, 0] += 1
    assert mask_digest(half.network) != before


def test_the_packaged_model_has_its_calibration():
    """For new weights it is made anew: docs/tabletop_model.md has the command."""
    found = Lisa.from_pretrained("tabletop", device="cpu").model.calibration
    assert found is not None and found.held_out["ece"] <= 0.05 and found.held_out["masks"] >= 300
    assert found.probability(0.98, GOOD) > 0.8 > found.probability(0.7, BAD)
