"""The node with the real engine on the small reference checkpoint: what comes over the topics is what LISA computes."""

import json

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from lisa_ros.msg import SegmentationResult as Result
from PIL import Image as Picture

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def asked(start, reference):
    """The reference's cases, and the robot of a node that runs the reference's checkpoint."""
    _, robot = start("run_reference.py", active=False, model=reference, max_new_tokens=12)
    assert robot.until(lambda: robot.images.get_subscription_count() > 0, 90), "the node did not become active"
    # While both ends discover each other an answer can get lost, and a goal is not asked twice.
    assert robot.state() == "active" and robot.until(robot.action.server_is_ready)
    cases = json.loads((reference / "golden" / "evaluate.json").read_text())
    return robot, [case for case in cases if case["case"].startswith("nat_")]


def test_masks_over_the_topics_are_the_references(asked, reference):
    robot, cases = asked
    masks = np.load(reference / "golden" / "evaluate.npz")
    for case in cases:
        image = np.asarray(Picture.open(reference / "images" / f"img{case['image']}.png").convert("RGB"))
        depth = np.full(image.shape[:2], 1000, np.uint16)
        while True:
            stamp = robot.show(image, depth)
            status, result = robot.goal(case["prompt"], 60, image_stamp=stamp)
            if result.status != Result.NO_IMAGE:  # before all have found each other, images get lost
                break
        assert len(result.targets) == case["n_seg"] and result.model.endswith("fp32 llava_v1")
        assert status == GoalStatus.STATUS_SUCCEEDED, result.message
        expected_masks = masks.get(f"{case['case']}/pred_masks", ())  # kept for some of the cases
        for target, expected in zip(result.targets, expected_masks, strict=False):
            assert mask_of(target, image.shape[:2]).tobytes() == (expected > 0).tobytes()


def mask_of(target, shape):
    """(H, W) bool from the cropped mask of a target."""
    mask, roi = np.zeros(shape, bool), target.roi
    crop = np.frombuffer(target.mask.data, np.uint8).reshape(roi.height, roi.width) == 255
    mask[roi.y_offset : roi.y_offset + roi.height, roi.x_offset : roi.x_offset + roi.width] = crop
    return mask
