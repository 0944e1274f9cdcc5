"""The layouts for RViz and Foxglove name topics that the node has, with its types and qualities of service."""

import json
import time
from pathlib import Path

import pytest
import yaml
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from lisa_ros.viewers.streams import viewed_streams

pytestmark = pytest.mark.ros
CONFIG = Path(__file__).parents[2] / "config"
RVIZ_TYPES = {
    "rviz_default_plugins/PointCloud2": "sensor_msgs/msg/PointCloud2",
    "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
    "rviz_default_plugins/Pose": "geometry_msgs/msg/PoseStamped",
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
}
FOXGLOVE_3D = {"sensor_msgs/msg/PointCloud2", "visualization_msgs/msg/MarkerArray", "geometry_msgs/msg/PoseStamped"}
CAMERA = {"/lisa/image": "sensor_msgs/msg/Image", "/lisa/camera_info": "sensor_msgs/msg/CameraInfo"}
MARKERS = {"box", "label", "uncertainty", "closing", "approach", "support"}


@pytest.fixture(scope="module")
def published(running):
    """published(topic) -> (type, quality of service) of the running node's publisher of `/lisa/...`."""
    _, robot = running
    node, namespace = robot, robot.get_namespace()

    def found(topic):
        name = topic.replace("/lisa", namespace, 1)
        end = time.monotonic() + 30
        while not (endpoints := node.get_publishers_info_by_topic(name)) and time.monotonic() < end:
            time.sleep(0.05)
        assert endpoints, f"the node publishes no {topic}"
        return endpoints[0].topic_type, endpoints[0].qos_profile

    return found


def rviz_displays():
    return yaml.safe_load((CONFIG / "perception.rviz").read_text())["Visualization Manager"]["Displays"]


def test_rviz_shows_what_the_node_publishes(published):
    shown = set()
    for display in rviz_displays():
        if "Topic" not in display:
            continue
        topic, kind = display["Topic"], RVIZ_TYPES[display["Class"]]
        shown.add(topic["Value"])
        if topic["Value"] in CAMERA:
            assert CAMERA[topic["Value"]] == kind and topic["Reliability Policy"] == "Best Effort"
            continue
        found, quality = published(topic["Value"])
        assert found == kind
        assert (topic["Durability Policy"] == "Transient Local") == (
            quality.durability == DurabilityPolicy.TRANSIENT_LOCAL
        )
        assert (topic["Reliability Policy"] == "Reliable") == (quality.reliability == ReliabilityPolicy.RELIABLE)
    assert shown == {f"/lisa/{name}" for name in ("points", "scene_points", "markers", "box", "overlay", "image")}


def test_rviz_names_the_namespaces_of_the_markers():
    (display,) = (one for one in rviz_displays() if one["Class"].endswith("MarkerArray"))
    assert display["Namespaces"] == dict.fromkeys(MARKERS, True)


def test_foxglove_shows_what_the_node_publishes(published):
    panels = json.loads((CONFIG / "foxglove.json").read_text())["configById"]
    for topic in panels["3D!scene"]["topics"]:
        assert topic in CAMERA or published(topic)[0] in FOXGLOVE_3D
    assert published(panels["Image!overlay"]["imageMode"]["imageTopic"])[0] == "sensor_msgs/msg/Image"
    assert set(panels["Image!camera"]["imageMode"].values()) == set(CAMERA)
    assert (
        published(panels["DiagnosticSummary!diagnostics"]["topicToRender"])[0] == "diagnostic_msgs/msg/DiagnosticArray"
    )
    for name, field in (("answer", "data"), ("targets", "targets")):
        topic, _, path = panels[f"RawMessages!{name}"]["topicPath"].rpartition(".")
        kind, _ = published(topic)
        assert path == field and kind in ("std_msgs/msg/String", "lisa_ros/msg/SegmentationResult")


def test_the_panel_of_foxglove_asks_the_node(running):
    _, robot = running
    panels = json.loads((CONFIG / "foxglove.json").read_text())["configById"]
    panel = panels["Publish!query"]
    topic = panel["topicName"].replace("/lisa", robot.get_namespace(), 1)
    end = time.monotonic() + 30
    while not (found := robot.get_subscriptions_info_by_topic(topic)) and time.monotonic() < end:
        time.sleep(0.05)
    assert found[0].topic_type == panel["datatype"]
    assert json.loads(panel["value"]).keys() == {"data"}


def test_every_panel_of_foxglove_stands_in_the_layout():
    content = json.loads((CONFIG / "foxglove.json").read_text())

    def leaves(part):
        return [part] if isinstance(part, str) else leaves(part["first"]) + leaves(part["second"])

    assert sorted(leaves(content["layout"])) == sorted(content["configById"])


def test_what_is_recorded_for_rerun_is_what_the_node_publishes(published):
    for stream in viewed_streams("lisa"):
        if stream.role in ("result", "points", "scene_points"):
            kind, quality = published(stream.topic)
            assert kind == stream.type and stream.latched == (quality.durability == DurabilityPolicy.TRANSIENT_LOCAL)
