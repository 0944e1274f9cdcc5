"""The node with an ELISA: its parameters load it, and what comes over the topics is what the engine computes."""

import numpy as np
import pytest
from golden_variants import ROOT
from lisa_ros.msg import SegmentationResult as Result
from PIL import Image

from lisa_ros import Lisa
from lisa_ros.client.conversion import read_result
from lisa_ros.named_values import named_values

pytestmark = pytest.mark.ros
GOLDEN = ROOT / "tests" / "golden"
ELISA, SAM = GOLDEN / "elisa_tiny", GOLDEN / "llmseg_tiny" / "sam_tiny.pth"
PROPOSALS = "points_per_side=4, pred_iou_thresh=-10, stability_score_thresh=0, box_nms_thresh=0.99, limit=6"
QUESTION = "Which two shapes touch each other?"


@pytest.fixture(scope="module")
def lisa():
    options = {"sam_checkpoint": SAM, "proposal_options": named_values(PROPOSALS, "options")}
    return Lisa.from_pretrained(ELISA, device="cpu", **options)


@pytest.fixture(scope="module")
def image():
    return np.array(Image.open(ELISA / "images" / "img1.png").convert("RGB"))


@pytest.fixture(scope="module")
def robot(start):
    """The robot of a node that runs the small ELISA."""
    options = {"model": str(ELISA), "sam_checkpoint": str(SAM), "proposal_options": PROPOSALS, "device": "cpu"}
    _, robot = start("run_real.py", active=False, **options)
    assert robot.until(lambda: robot.images.get_subscription_count() > 0, 90), "the node did not become active"
    assert robot.state() == "active" and robot.until(robot.action.server_is_ready)
    return robot


def ask(robot, image, text, **options):
    while True:
        stamp = robot.show(image, np.full(image.shape[:2], 1000, np.uint16))
        _, result = robot.goal(text, 60, image_stamp=stamp, **options)
        if result.status != Result.NO_IMAGE:  # before all have found each other, images get lost
            return result


def test_chosen_masks_come_over_the_topics(robot, lisa, image):
    expected = lisa.chat(lisa.encode(image), QUESTION)
    assert expected.targets, "the small ELISA is expected to choose something"
    message = ask(robot, image, QUESTION, with_cloud=False)
    assert message.status == Result.OK, message.message
    result = read_result(message)
    assert result.answer == expected.answer
    assert [target.candidate.index for target in result.targets] == [t.candidate.index for t in expected.targets]
    for target, own in zip(result.targets, expected.targets, strict=True):
        assert target.phrase == own.phrase and (target.mask == own.mask).all()
        assert target.candidate.score == pytest.approx(own.candidate.score, abs=1e-4)
        assert target.probability == pytest.approx(own.probability, abs=1e-4)


def test_a_mask_is_asked_for_alone(robot, lisa, image):
    """Mode mask: the masks of the answer as one target."""
    (expected,) = lisa.segment(lisa.encode(image), QUESTION).targets
    (target,) = read_result(ask(robot, image, QUESTION, mode="mask")).targets
    assert (target.mask == expected.mask).all() and target.candidate.index == expected.candidate.index
