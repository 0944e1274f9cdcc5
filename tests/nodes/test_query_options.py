from dataclasses import replace

import numpy as np
import pytest
from lisa_ros.action import Segment
from lisa_ros.srv import SubmitQuery
from rclpy.parameter import Parameter

from lisa_ros.errors import ConfigurationError
from lisa_ros.geometry import CloudOptions
from lisa_ros.nodes.perception.clouds.cloud_job import up_direction
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.nodes.perception.queries.query import ACTION, QueryRequest
from lisa_ros.nodes.perception.queries.query_options import apply_options, query_parameters
from lisa_ros.nodes.perception.queries.region import Region

pytestmark = pytest.mark.unit
REQUEST = QueryRequest("?", ACTION, PerceptionParameters(), 0, True)
DOWNWARD = (0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0)  # a camera 2 m above the table that looks straight down


def parameters(**values):
    return [Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in values.items()]


def test_a_goal_without_options_has_the_nodes_settings():
    cloud = CloudOptions(min_points=7)
    base = PerceptionParameters(mode="mask", target_frame="table", camera_pose=DOWNWARD, cloud=cloud)
    assert query_parameters(base, Segment.Goal()) == base
    assert query_parameters(base, SubmitQuery.Request()) == base


def test_a_goal_sets_what_it_names_and_nothing_else():
    base = PerceptionParameters(max_new_tokens=99, cloud=CloudOptions(min_points=7))
    goal = Segment.Goal(mode="mask", cloud=parameters(voxel_size=0.01, cloud__min_range=0.5))
    found = query_parameters(base, goal)
    assert (found.mode, found.max_new_tokens) == ("mask", 99)
    assert found.cloud == CloudOptions(min_points=7, voxel_size=0.01, min_range=0.5)
    assert query_parameters(base, Segment.Goal(max_new_tokens=5)).max_new_tokens == 5


def test_a_fixed_pose_leads_to_the_nodes_own_frame_only():
    base = PerceptionParameters(target_frame="table", camera_pose=DOWNWARD)
    other = query_parameters(base, Segment.Goal(target_frame="shelf"))
    assert (other.target_frame, other.camera_pose) == ("shelf", ())
    assert query_parameters(base, Segment.Goal(target_frame="table")) == base


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "loud"}, "mode='loud' is not one of chat, mask"),
        ({"max_new_tokens": 5000}, "max_new_tokens=5000 must lie between 1 and 4096"),
        ({"cloud": parameters(voxel_size=5.0)}, "voxel_size=5.0 must lie between 0.0 and 1.0"),
        ({"cloud": parameters(voxl_size=0.1)}, "did you mean voxel_size"),
        ({"cloud": parameters(mode="mask")}, "no parameter cloud.mode"),
        ({"cloud": parameters(min_points="many")}, "min_points='many' must be a whole number"),
        ({"cloud": parameters(min_points=3, cloud__min_points=4)}, "given twice"),
        ({"cloud": parameters(min_range=20.0)}, "max_range"),
    ],
)
def test_bad_options_are_refused_by_name_value_and_limits(options, words):
    with pytest.raises(ConfigurationError) as error:
        query_parameters(PerceptionParameters(), Segment.Goal(**options))
    assert words in str(error.value)
    asked = apply_options(REQUEST, Segment.Goal(**options))
    assert asked.invalid == str(error.value) and asked.parameters == PerceptionParameters()


def test_options_reach_the_query():
    goal = Segment.Goal(conversation_id="talk", max_new_tokens=3)
    goal.image_stamp.sec, goal.image_stamp.nanosec = 2, 7
    goal.region.x_offset, goal.region.width, goal.region.height = 4, 5, 6
    asked = apply_options(REQUEST, goal)
    assert (asked.conversation_id, asked.image_stamp, asked.region) == ("talk", 2_000_000_007, Region(4, 0, 5, 6))
    assert (asked.parameters.max_new_tokens, asked.invalid) == (3, "")


def test_a_conversation_is_not_asked_for_masks_alone():
    assert "conversation" in apply_options(REQUEST, Segment.Goal(conversation_id="talk", mode="mask")).invalid
    request = replace(REQUEST, parameters=PerceptionParameters(mode="mask"))
    assert not apply_options(request, Segment.Goal(conversation_id="talk")).invalid


def test_phrases_reach_the_query():
    for message in (
        Segment.Goal(phrases=["the mug", "the fork"]),
        SubmitQuery.Request(phrases=["the mug", "the fork"]),
    ):
        message.max_new_tokens = 5
        asked = apply_options(REQUEST, message)
        assert (asked.text, asked.phrases, asked.invalid) == ("the mug, the fork", ("the mug", "the fork"), "")
        assert asked.parameters.max_new_tokens == 5


@pytest.mark.parametrize(
    "other", [{"query": "the mug"}, {"conversation_id": "talk"}, {"mode": "chat"}, {"mode": "mask"}]
)
def test_phrases_do_not_go_with_what_is_said_in_text(other):
    (name, value) = next(iter(other.items()))
    assert apply_options(REQUEST, Segment.Goal(phrases=["the fork"], **other)).invalid.startswith(
        f"{name}={value!r} does not go with phrases"
    )
    assert not apply_options(
        replace(REQUEST, parameters=PerceptionParameters(mode="mask")), Segment.Goal(phrases=["it"])
    ).invalid


def test_up_is_the_parameter_or_the_upright_target_frames_z_axis():
    pose = np.eye(4)
    pose[:3, :3] = [[1, 0, 0], [0, -1, 0], [0, 0, -1]]  # looks straight down
    np.testing.assert_array_equal(up_direction(PerceptionParameters(target_frame="table"), pose), [0, 0, -1])
    assert up_direction(PerceptionParameters(), None) is None
    assert up_direction(PerceptionParameters(target_frame="left_color_optical_frame"), pose) is None
    given = PerceptionParameters(target_frame="table", up=(0.0, -3.0, 4.0))
    np.testing.assert_allclose(up_direction(given, pose), [0, -0.6, 0.8])
    np.testing.assert_allclose(up_direction(PerceptionParameters(up=(0, -2, 0)), None), [0, -1, 0])
