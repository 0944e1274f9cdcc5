"""moveit_msgs is on no package index: classes with its fields stand in, and what MoveIt makes of them is its own."""

from types import SimpleNamespace

import numpy as np
import pytest
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Vector3
from lisa_ros.msg import SegmentationTarget
from std_msgs.msg import Header

from lisa_ros.errors import ConfigurationError
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.nodes.perception.results import optional_messages
from lisa_ros.nodes.perception.results.optional_messages import PlanningSceneDiffs

pytestmark = pytest.mark.unit
HEADER = Header(frame_id="base")


class CollisionObject(SimpleNamespace):
    ADD, REMOVE = b"\x00", b"\x01"


class SolidPrimitive(SimpleNamespace):
    BOX = 1


def empty_scene(is_diff):
    world = SimpleNamespace(collision_objects=[], octomap=SimpleNamespace(octomap=SimpleNamespace(id="")))
    return SimpleNamespace(is_diff=is_diff, robot_state=SimpleNamespace(is_diff=False), world=world)


@pytest.fixture(autouse=True)
def moveit_msgs(monkeypatch):
    monkeypatch.setattr(optional_messages, "PlanningScene", empty_scene)
    monkeypatch.setattr(optional_messages, "CollisionObject", CollisionObject, raising=False)
    monkeypatch.setattr(optional_messages, "SolidPrimitive", SolidPrimitive, raising=False)


def target(x=0.3, has_box=True, size=(0.2, 0.05, 0.0)):
    message = SegmentationTarget(has_box=has_box, extents=Vector3(x=size[0], y=size[1], z=size[2]))
    message.box.pose.position = Point(x=x, y=0.0, z=0.42)
    return message


def support():
    """A table top at 0.4 m."""
    return PoseStamped(header=HEADER, pose=Pose(position=Point(x=0.3, y=0.0, z=0.4), orientation=Quaternion(w=1.0)))


def scene(query_id="q", count=1, with_support=True):
    targets = [target(has_box=False), *(target(0.3 + 0.1 * n) for n in range(count))]
    return optional_messages.planning_scene(HEADER, query_id, targets, support() if with_support else None)


def objects(diff):
    assert diff.is_diff and diff.robot_state.is_diff and diff.world.octomap.octomap.id == ""
    return {item.id: item for item in diff.world.collision_objects}


def test_boxes_and_the_slab_below_them_are_objects():
    found = objects(scene(count=2))
    assert list(found) == ["lisa_q_1", "lisa_q_2", "lisa_support"]
    assert all(item.operation == CollisionObject.ADD and item.header == HEADER for item in found.values())
    box = found["lisa_q_2"]
    assert box.pose.position.x == pytest.approx(0.4) and box.primitives[0].type == SolidPrimitive.BOX
    assert box.primitives[0].dimensions == pytest.approx([0.2, 0.05, 0.001])
    assert box.primitive_poses == [Pose()] and box.primitive_poses[0].orientation.w == 1.0
    slab = found["lisa_support"]
    side, other_side, thickness = slab.primitives[0].dimensions
    assert slab.pose.position.z + thickness / 2 == pytest.approx(0.4), "its top is the support"
    assert side == other_side and slab.pose.position.x + side / 2 > 0.4 + 0.2 / 2, "it reaches beyond the boxes"


def test_a_tilted_support_carries_a_slab_as_tilted():
    tilted = support()
    tilted.pose.orientation = Quaternion(x=np.sin(np.pi / 8), y=0.0, z=0.0, w=np.cos(np.pi / 8))  # 45 degrees about x
    slab = objects(optional_messages.planning_scene(HEADER, "q", [target()], tilted))["lisa_support"]
    below = np.array([0, np.sin(np.pi / 4), -np.cos(np.pi / 4)]) * slab.primitives[0].dimensions[2] / 2
    found = slab.pose.position.x, slab.pose.position.y, slab.pose.position.z
    assert found == pytest.approx(tuple(below + [0.3, 0.0, 0.4]))
    assert slab.pose.orientation.x == pytest.approx(np.sin(np.pi / 8))


def test_an_answer_takes_the_one_before_out_again():
    diffs = PlanningSceneDiffs()
    assert diffs.next(None) is None
    assert list(objects(diffs.next(scene("a", 2)))) == ["lisa_a_1", "lisa_a_2", "lisa_support"]
    second = objects(diffs.next(scene("b", 1)))
    operations = {name: item.operation for name, item in second.items()}
    removed, added = CollisionObject.REMOVE, CollisionObject.ADD
    # the support is replaced, not removed: whoever allows contact with it allows it still
    assert operations == {"lisa_a_1": removed, "lisa_a_2": removed, "lisa_b_1": added, "lisa_support": added}
    third = objects(diffs.next(None))
    assert {name: item.operation for name, item in third.items()} == {"lisa_b_1": removed, "lisa_support": removed}
    assert all(item.header == HEADER for item in third.values())
    assert diffs.next(None) is None


def test_an_object_keeps_no_name_of_an_attached_one():
    first, second = objects(scene("a")), objects(scene("b"))
    assert first.keys() & second.keys() == {"lisa_support"}


def test_without_the_package_there_is_no_scene_and_asking_for_one_is_an_error(monkeypatch):
    monkeypatch.setattr(optional_messages, "PlanningScene", None)
    assert scene() is None
    with pytest.raises(ConfigurationError, match="moveit_msgs"):
        PerceptionParameters(planning_scene=True)


def test_what_is_absent_is_neither_a_detection_nor_an_obstacle(monkeypatch):
    """vision_msgs is on no package index either."""

    def message(**fields):
        return lambda: SimpleNamespace(**{name: kind() for name, kind in fields.items()})

    hypothesis = message(hypothesis=SimpleNamespace, pose=SimpleNamespace)
    monkeypatch.setattr(optional_messages, "ObjectHypothesisWithPose", hypothesis, raising=False)
    monkeypatch.setattr(optional_messages, "Detection3DArray", SimpleNamespace)
    monkeypatch.setattr(
        optional_messages,
        "Detection3D",
        lambda **given: SimpleNamespace(bbox=SimpleNamespace(), **given),
        raising=False,
    )
    absent, there = target(has_box=False), target()
    absent.kind, absent.phrase, there.phrase = SegmentationTarget.ABSENT, "the fork", "the mug"
    (detection,) = optional_messages.detection_array(HEADER, [absent, there]).detections
    assert detection.results[0].hypothesis.class_id == "the mug" and detection.bbox.size == there.extents
    objects_of_scene = objects(optional_messages.planning_scene(HEADER, "q", [absent, there], None))
    assert set(objects_of_scene) == {"lisa_q_1"}


def test_a_detection_has_the_id_of_a_followed_target_and_none_otherwise(monkeypatch):
    """vision_msgs is on no package index either."""

    def hypothesis():
        return SimpleNamespace(hypothesis=SimpleNamespace(class_id="", score=0.0), pose=SimpleNamespace(pose=None))

    def detection(**fields):
        return SimpleNamespace(bbox=SimpleNamespace(center=None, size=None), **fields)

    monkeypatch.setattr(optional_messages, "Detection3DArray", SimpleNamespace)
    monkeypatch.setattr(optional_messages, "Detection3D", detection, raising=False)
    monkeypatch.setattr(optional_messages, "ObjectHypothesisWithPose", hypothesis, raising=False)
    followed, plain, lost = target(0.3), target(0.4), target(has_box=False)
    followed.id, lost.id = 7, 8
    found = optional_messages.detection_array(HEADER, [followed, plain, lost]).detections
    assert [one.id for one in found] == ["7", ""]
