"""Topics for viewers and the page of an answer; needs no viewer."""

import importlib.util

import numpy as np
import pytest

from lisa_ros.cli import main
from lisa_ros.client.results import PerceptionResult, PerceptionTarget, QueryStatus
from lisa_ros.types import SEGMENTED
from lisa_ros.viewers.answer_text import answer_markdown
from lisa_ros.viewers.streams import viewed_streams

pytestmark = pytest.mark.unit


def test_topics_stand_in_the_namespace_or_are_those_that_are_named():
    topics = {stream.topic for stream in viewed_streams("/robot/lisa/")}
    assert {"/robot/lisa/image", "/robot/lisa/image/compressed", "/robot/lisa/result", "/tf"} <= topics
    named = viewed_streams("lisa", image="camera/color/image_raw", depth="/camera/depth/image", with_scene=False)
    topics = {stream.topic for stream in named}
    assert {"/camera/color/image_raw", "/camera/depth/image/compressedDepth", "/lisa/camera_info"} <= topics
    assert "/lisa/scene_points" not in topics


def test_words_of_a_model_stay_words_on_the_page():
    mask = np.ones((2, 2), bool)
    target = PerceptionTarget("a|b *c*", SEGMENTED, mask, components=1, touches_border=False, location=None)
    words = {"query": "<b>q</b>", "answer": "# no heading\n- no list", "message": "", "model": "m"}
    ids = {"query_id": "", "conversation_id": "", "frame_id": "", "stamp": 0, "received": 0, "image_age": 0.0}
    result = PerceptionResult(targets=(target,), status=QueryStatus.OK, **words, **ids)
    page = answer_markdown(result)
    assert "\\<b\\>q" in page and "\\# no heading \\- no list" in page
    assert "| a\\|b \\*c\\* | segmented | not calibrated |" in page


@pytest.mark.skipif(importlib.util.find_spec("rerun") is not None, reason="the Rerun SDK is installed")
def test_without_the_sdk_the_command_says_what_to_install(capsys):
    assert main(["rerun", "live"]) == 2
    assert "requirements/rerun.txt" in capsys.readouterr().err
