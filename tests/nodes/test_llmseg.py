"""The node with a system that chooses among proposals: what comes over the topics is what the engine computes."""

import numpy as np
import pytest
from golden_variants import ROOT, LlmSegVariant
from lisa_ros.msg import SegmentationResult as Result

from lisa_ros.inference.regions import NO_PROPOSALS
from lisa_ros.model.saving import save_checkpoint

pytestmark = pytest.mark.ros
VARIANT = LlmSegVariant(ROOT / "tests" / "golden" / "llmseg_tiny")


@pytest.fixture(scope="module")
def robot(start, tmp_path_factory):
    """The robot of a node that runs the small LLM-Seg."""
    folder = tmp_path_factory.mktemp("llmseg")
    save_checkpoint(VARIANT.lisa.model.checkpoint, folder)
    tower = str(VARIANT.directory / "clip_tiny")
    options = {"model": str(folder), "vision_tower": tower, "device": "cpu", "mode": "mask"}
    _, robot = start("run_real.py", active=False, **options)
    assert robot.until(lambda: robot.images.get_subscription_count() > 0, 90), "the node did not become active"
    assert robot.state() == "active" and robot.until(robot.action.server_is_ready)
    return robot


def ask(robot, image, text):
    while True:
        stamp = robot.show(image, np.full(image.shape[:2], 1000, np.uint16))
        _, result = robot.goal(text, 60, image_stamp=stamp)
        if result.status != Result.NO_IMAGE:  # before all have found each other, images get lost
            return result


def test_a_chosen_mask_comes_over_the_topics(robot):
    image = VARIANT.image("v2.jpg")
    (expected,) = VARIANT.lisa.segment(VARIANT.lisa.encode(image), "the red box").targets
    result = ask(robot, image, "the red box")
    (target,) = result.targets
    assert result.status in (Result.OK, Result.NO_TRANSFORM), result.message
    roi = target.roi
    found = np.zeros(image.shape[:2], bool)
    crop = np.frombuffer(target.mask.data, np.uint8).reshape(roi.height, roi.width) == 255
    found[roi.y_offset : roi.y_offset + roi.height, roi.x_offset : roi.x_offset + roi.width] = crop
    assert (found == expected.mask).all()
    assert target.has_candidate and target.candidate_index == expected.candidate.index
    assert target.candidate_score == pytest.approx(expected.candidate.score, abs=1e-4)


def test_an_image_without_proposals_ends_with_the_reason(robot):
    image = np.full((60, 80, 3), 127, np.uint8)
    assert not len(VARIANT.lisa.encode(image).regions.proposals)
    result = ask(robot, image, "the red box")
    assert result.status == Result.NO_TARGET and result.message == NO_PROPOSALS
