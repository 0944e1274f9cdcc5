"""The parameter `follow_tracker` of the real node: a video model from local files, and files that are not there."""

import sys
from pathlib import Path

import pytest
from lisa_ros.action import Segment

sys.path.insert(0, str(Path(__file__).parents[1] / "tracking"))
from tiny_video_models import sam3_tracker

pytestmark = pytest.mark.ros


def test_a_video_model_follows_from_frame_to_frame(start, tmp_path):
    sam3_tracker().save_pretrained(tmp_path)
    options = {"follow_tracker": "sam3_tracker", "follow_model": tmp_path, "device": "cpu", "follow_interval": 60.0}
    process, robot = start(active=False, **options)
    ready = lambda: "active, subscribed" in process.log and robot.action.server_is_ready()  # noqa: E731
    assert robot.until(ready, 90), process.log
    robot.stream(rate=5.0)
    handle = robot.send("red", follow=True)

    def frames():
        return [one.result for one in robot.feedback if one.stage == Segment.Feedback.FOLLOWING]

    assert robot.until(lambda: sum(one.answer_stamp != one.header.stamp for one in frames()) > 3, 60)
    robot.wait(handle.cancel_goal_async())
    assert len({target.id for one in frames() for target in one.targets}) == 1
    assert all("follow" in {stage.stage for stage in one.stages} for one in frames()[1:])


def test_weights_that_are_not_there_are_named_and_leave_the_node_unconfigured(start):
    process, robot = start(active=False, follow_tracker="edgetam", follow_model="/nowhere")
    wanted = "cannot load the model: edgetam: /nowhere/config.json is not there"
    assert robot.until(lambda: wanted in process.log, 60), process.log
    assert robot.state() == "unconfigured"
    assert robot.set(follow_tracker="flow", follow_model="") == [(True, "")] * 2
    assert robot.transition("configure", timeout=60)
