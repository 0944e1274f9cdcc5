"""The node with the real engine of styles that tell what is absent: what comes over the topics is what they compute."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from lisa_ros.msg import SegmentationResult as Result
from PIL import Image as Picture
from run_reference import load

from lisa_ros.client.conversion import read_result
from lisa_ros.types import ABSENT

pytestmark = pytest.mark.ros
GOLDEN = Path(__file__).parents[1] / "golden"
PHRASES = ["car", "a tree", "both things", "white cup", "box", "red box", "blue hat", "the dog"]


@pytest.mark.parametrize("style", ["gsva", "sesame"])
def test_phrases_over_the_action_are_those_of_the_engine(start, style):
    folder = GOLDEN / f"{style}_tiny"
    image = np.asarray(Picture.open(folder / "images" / "img0.png").convert("RGB"))
    lisa = load(SimpleNamespace(model=folder))
    expected = lisa.segment_phrases(lisa.encode(image), PHRASES, max_new_tokens=12)
    _, robot = start("run_reference.py", active=False, model=folder, max_new_tokens=12)
    assert robot.until(lambda: robot.images.get_subscription_count() > 0, 90), "the node did not become active"
    assert robot.state() == "active" and robot.until(robot.action.server_is_ready)
    depth = np.full(image.shape[:2], 1000, np.uint16)
    while True:
        stamp = robot.show(image, depth)
        _, message = robot.goal("", 60, phrases=PHRASES, image_stamp=stamp)
        if message.status != Result.NO_IMAGE:  # before all have found each other, images get lost
            break
    result = read_result(message)
    assert [target.phrase for target in result.targets] == PHRASES and result.answer == expected.answer
    assert ABSENT in {target.kind for target in expected.targets}
    for target, wanted in zip(result.targets, expected.targets, strict=True):
        assert (target.kind, target.correction) == (wanted.kind, wanted.correction)
        assert target.probability == pytest.approx(wanted.probability, abs=1e-5, nan_ok=True)
        np.testing.assert_array_equal(target.mask, wanted.mask)
        assert target.location is None or target.mask.any()
    assert any(target.mask.any() for target in expected.targets) and result.status.has_masks
