"""Messages as the node makes them, read back by the client."""

import math
import subprocess
import sys

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from lisa_ros.client.conversion import read_cloud, read_result
from lisa_ros.client.goals import make_goal
from lisa_ros.client.results import QueryStage, QueryStatus
from lisa_ros.errors import ConfigurationError, InvalidImageError
from lisa_ros.geometry import CloudReport, SupportPlane, TopGrasp
from lisa_ros.nodes.common.messages import cloud_message, image_message
from lisa_ros.nodes.perception.results.target_messages import support_message, target_message
from lisa_ros.types import ABSENT, SEGMENTED, Candidate, MaskFeatures, Target

pytestmark = pytest.mark.unit
HEADER = Header(frame_id="camera", stamp=Time(sec=12, nanosec=34))
TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def constants(kind) -> dict[str, int]:
    return {name: value for name, value in vars(kind).items() if name.isupper() and isinstance(value, int)}


def test_every_constant_of_the_messages_has_its_name():
    assert {status.name: status.value for status in QueryStatus} == constants(SegmentationResult)
    assert {stage.name: stage.value for stage in QueryStage} == constants(Segment.Feedback)
    with pytest.raises(ValueError, match="99"):
        read_result(SegmentationResult(status=99))


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_masks_come_back_as_they_were(mask):
    message = target_message(HEADER, Target("it", SEGMENTED, mask, None, 0.5), None, HEADER)
    result = read_result(SegmentationResult(header=HEADER, mask=image_message(HEADER, mask), targets=[message]))
    np.testing.assert_array_equal(result.targets[0].mask, mask)
    np.testing.assert_array_equal(result.union_mask, mask)
    assert result.stamp == 12_000_000_034


def test_quality_comes_with_what_it_is_made_of_or_not_at_all():
    mask, features = np.ones((6, 8), bool), MaskFeatures(0.75, 0.5, 0.25)
    told = Target("it", SEGMENTED, mask, mean_probability=0.5, quality=0.875, features=features)
    silent = [Target("it", SEGMENTED, mask, mean_probability=0.5), Target("it", ABSENT, ~mask)]
    messages = [target_message(HEADER, one, None, HEADER) for one in (told, *silent)]
    found, *others = read_result(SegmentationResult(mask=image_message(HEADER, mask), targets=messages)).targets
    assert (found.quality, found.features) == (0.875, features)
    assert all(math.isnan(one.quality) and one.features is None for one in others)


@pytest.mark.parametrize("spoil", ["data", "roi", "step", "image"])
def test_a_mask_that_does_not_fit_is_an_error(spoil):
    mask = np.ones((6, 8), bool)
    message = target_message(HEADER, Target("it", SEGMENTED, mask), None, HEADER)
    result = SegmentationResult(mask=image_message(HEADER, mask), targets=[message])
    if spoil == "data":
        message.mask.data = message.mask.data[:-1]
    elif spoil == "roi":
        message.roi.x_offset = 3
    elif spoil == "step":
        message.mask.step = 4
    else:
        result.mask.width = 5
    with pytest.raises(InvalidImageError, match="'it'"):
        read_result(result)


@given(st.integers(0, 50), st.booleans())
def test_clouds_come_back_as_they_were(count, has_targets):
    generator = np.random.default_rng(count)
    points = generator.normal(size=(count, 3)).astype(np.float32)
    colors = generator.integers(0, 256, (count, 3), np.uint8)
    targets = generator.integers(0, 3, count).astype(np.uint32) if has_targets else None
    cloud = read_cloud(cloud_message(HEADER, points, colors, targets))
    np.testing.assert_array_equal(cloud.points, points)
    np.testing.assert_array_equal(cloud.colors, colors)
    assert (cloud.points.dtype, cloud.colors.dtype, cloud.frame_id) == (np.float32, np.uint8, "camera")
    if targets is None:
        assert cloud.targets is None
    else:
        np.testing.assert_array_equal(cloud.targets, targets)
        assert sum(len(cloud.of_target(index).points) for index in range(3)) == count


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_what_is_offered_in_the_place_of_an_absent_target_comes_back(mask):
    offered = Target("the phone", SEGMENTED, mask)
    absent = Target(
        "laptop", ABSENT, np.zeros_like(mask), probability=0.25, correction="the phone", alternative=offered
    )
    message = target_message(HEADER, absent, None, HEADER)
    union = image_message(HEADER, np.zeros_like(mask))
    result = read_result(SegmentationResult(header=HEADER, mask=union, targets=[message]))
    (target,) = result.targets
    assert (target.phrase, target.kind, target.probability, target.correction) == ("laptop", ABSENT, 0.25, "the phone")
    assert not target.mask.any() and not result.union_mask.any() and target.location is None
    assert result.absence == "not in the image: laptop (perhaps the phone)"
    if mask.any():
        assert (target.alternative.phrase, target.alternative.kind) == ("the phone", SEGMENTED)
        np.testing.assert_array_equal(target.alternative.mask, mask)
    else:
        assert target.alternative is None


@pytest.mark.parametrize("candidate", [None, Candidate(0, -0.25), Candidate(7, 0.5)])
def test_the_candidate_that_was_chosen_comes_back(candidate):
    """Number 0 is one; none is not number 0."""
    mask = np.ones((3, 4), bool)
    message = target_message(HEADER, Target("mug", SEGMENTED, mask, candidate=candidate), None, HEADER)
    assert message.has_candidate == (candidate is not None)
    result = read_result(SegmentationResult(header=HEADER, mask=image_message(HEADER, mask), targets=[message]))
    assert result.targets[0].candidate == candidate


def test_a_location_has_all_that_the_report_had():
    grasp = TopGrasp(np.array([1.0, 2, 3]), TURN, 0.04, np.array([1.0, 2, 3.1]))
    report = CloudReport(
        points=np.zeros((5, 3), np.float32),
        colors=np.zeros((5, 3), np.uint8),
        scene_points=np.zeros((0, 3), np.float32),
        scene_colors=np.zeros((0, 3), np.uint8),
        centroid=np.array([1.0, 2, 3]),
        box_center=np.array([4.0, 5, 6]),
        box_rotation=TURN,
        extents=np.array([0.3, 0.2, 0.1]),
        depth_coverage=0.5,
        point_count=5,
        components=1,
        touches_border=False,
        support=SupportPlane(np.array([0.0, 0, 1]), 2.0),
        completed=True,
        visible_share=0.75,
        center_stddev=np.array([0.01, 0.02, 0.03]),
        extents_stddev=np.array([0.04, 0.05, 0.06]),
        height=0.25,
        grasp=grasp,
        warnings=("wide: too wide",),
    )
    mask = np.ones((2, 2), bool)
    message = target_message(HEADER, Target("it", SEGMENTED, mask), report, Header(frame_id="table"))
    support = support_message(Header(frame_id="table"), report.support, report.box_center)
    result = read_result(
        SegmentationResult(
            mask=image_message(HEADER, mask), targets=[message], has_support=True, support=support, status=3
        )
    )
    location = result.targets[0].location
    assert (location.frame_id, location.point_count, location.completed, location.has_support) == (
        "table",
        5,
        True,
        True,
    )
    np.testing.assert_allclose(location.pose[:3, :3], TURN, atol=1e-9)
    np.testing.assert_allclose(location.pose[:, 3], (4, 5, 6, 1))
    for name in ("extents", "centroid", "center_stddev", "extents_stddev"):
        np.testing.assert_allclose(getattr(location, name), getattr(report, name), rtol=1e-6)
    assert (location.depth_coverage, location.visible_share, location.height) == (0.5, 0.75, 0.25)
    assert location.grasp_warnings == ("wide: too wide",)
    np.testing.assert_allclose(location.grasp.rotation, TURN, atol=1e-9)
    np.testing.assert_allclose(location.grasp.position, grasp.position)
    np.testing.assert_allclose(location.grasp.top, grasp.top)
    assert location.grasp.width == pytest.approx(0.04)
    np.testing.assert_allclose(result.support_pose[:3, 3], (4, 5, 2))
    assert result.support_frame_id == "table" and result.status is QueryStatus.NO_DEPTH and result.status.has_masks


def test_options_become_a_goal():
    stamp = Time(sec=3, nanosec=4)
    goal = make_goal(
        "the mug",
        image_stamp=stamp,
        conversation_id="c",
        with_cloud=False,
        mode="chat",
        max_new_tokens=np.int64(5),
        target_frame="base_link",
        region=np.array([1, 2, 3, 4]),
        cloud={"voxel_size": 0.01, "min_points": 7},
    )
    assert (goal.query, goal.image_stamp, goal.conversation_id, goal.with_cloud) == ("the mug", stamp, "c", False)
    assert (goal.mode, goal.max_new_tokens, goal.target_frame) == ("chat", 5, "base_link")
    assert goal.region == RegionOfInterest(x_offset=1, y_offset=2, width=3, height=4)
    values = {one.name: (one.value.double_value, one.value.integer_value) for one in goal.cloud}
    assert values == {"voxel_size": (0.01, 0), "min_points": (0.0, 7)}
    assert make_goal("it", image_stamp=3_000_000_004).image_stamp == stamp
    assert make_goal("it", region=goal.region).region is goal.region
    assert make_goal("it") == Segment.Goal(query="it", with_cloud=True)
    assert make_goal(phrases=("a", "b")) == Segment.Goal(phrases=["a", "b"], with_cloud=True)
    for phrases in ("a mug", 3, ["a", 2], {"a", "b"}):
        with pytest.raises(ConfigurationError, match="phrase"):
            make_goal(phrases=phrases)


def test_the_client_needs_no_torch():
    code = "import lisa_ros.client, sys; sys.exit(bool({'torch', 'transformers', 'open3d'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
