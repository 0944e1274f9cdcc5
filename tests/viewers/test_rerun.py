"""What a bag and its answers become in a Rerun recording. Skipped where the Rerun SDK is not installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from lisa_ros.msg import SegmentationResult
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from lisa_ros.cli import main
from lisa_ros.geometry import CloudReport, SupportPlane, TopGrasp
from lisa_ros.nodes.common.messages import cloud_message, image_message
from lisa_ros.nodes.perception.results.target_messages import target_message
from lisa_ros.recordings import messages as bag_messages
from lisa_ros.types import ABSENT, SEGMENTED, MaskFeatures, Target

rr = pytest.importorskip("rerun")
pytestmark = pytest.mark.unit
FRAME = "camera_color_optical_frame"
HEIGHT, WIDTH, SECOND = 24, 32, 1_000_000_000
RESULT, CLOUD = "lisa_ros/msg/SegmentationResult", "sensor_msgs/msg/PointCloud2"
IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"


def header(second):
    return Header(stamp=Time(sec=second), frame_id=FRAME)


def colour(second):
    pixels = np.full((HEIGHT, WIDTH, 3), 40 * second, np.uint8)
    return image_message(header(second), pixels)


def depth(second):
    return bag_messages.depth_image(np.full((HEIGHT, WIDTH), 0.8, np.float32), second * SECOND, FRAME)


def info(second):
    k = [30.0, 0.0, 15.5, 0.0, 30.0, 11.5, 0.0, 0.0, 1.0]
    p = [30.0, 0.0, 15.5, 0.0, 0.0, 30.0, 11.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    return CameraInfo(header=header(second), width=WIDTH, height=HEIGHT, k=k, p=p, r=np.eye(3).ravel())


def report():
    support = SupportPlane(np.array([0.0, -1.0, 0.0]), 0.1)
    centre = np.array([0.1, 0.0, 0.8])
    rotation = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    values = {
        "points": np.zeros((5, 3), np.float32), "colors": np.zeros((5, 3), np.uint8), "centroid": centre,
        "point_count": 5, "components": 1, "scene_points": None, "scene_colors": None,
        "box_center": centre, "box_rotation": rotation, "extents": np.array([0.1, 0.06, 0.2]), "depth_coverage": 1.0,
        "touches_border": False, "support": support, "completed": False, "visible_share": 0.4,
        "center_stddev": np.full(3, 0.002), "extents_stddev": np.full(3, 0.003), "height": 0.2,
        "grasp": TopGrasp(centre, rotation, 0.06, centre), "warnings": ("little_seen: from one side",),
    }  # fmt: skip
    return CloudReport(**{name: values[name] for name in CloudReport.__dataclass_fields__})


def answered(second, quality=0.93):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[4:12, 6:20] = True
    features = MaskFeatures(1.0, 0.9, 0.8)
    mug = Target("mug [red]", SEGMENTED, mask, mean_probability=0.9, quality=quality, features=features)
    fork = Target("fork", ABSENT, np.zeros_like(mask), correction="spoon")
    targets = [target_message(header(second), mug, report(), header(second))]
    targets.append(target_message(header(second), fork, None, header(second)))
    return SegmentationResult(
        header=header(second), query="the red mug", answer="The mug.", targets=targets, model="tabletop fp32",
        mask=image_message(header(second), mask),
    )  # fmt: skip


def points(second):
    return cloud_message(header(second), np.ones((5, 3), np.float32), np.full((5, 3), 200, np.uint8), np.zeros(5, int))


def raw(message):
    kind = type(message)
    if kind.__module__.startswith("rosbags."):
        return bag_messages.pack(message, message.__msgtype__)
    return serialize_message(message)


@pytest.fixture
def bag(tmp_path):
    """A recording of two frames, of the answer to the first one, and of a query that was rejected."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    said = [("/lisa/image", IMAGE, colour), ("/lisa/depth", IMAGE, depth), ("/lisa/camera_info", INFO, info)]
    rows = [(topic, kind, make(second), second * SECOND) for second in (1, 2) for topic, kind, make in said]
    rejected = SegmentationResult(status=SegmentationResult.REJECTED, query="", message="the query is empty")
    rows += [
        ("/lisa/points", CLOUD, points(1), 3 * SECOND),
        ("/lisa/result", RESULT, answered(1), 3 * SECOND),
        ("/lisa/result", RESULT, rejected, 4 * SECOND),
    ]
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        places = {}
        for topic, kind, message, moment in rows:
            if topic not in places:
                places[topic] = writer.add_connection(topic, kind, msgdef="# as installed", rihs01="RIHS01_0")
            writer.write(places[topic], moment, raw(message))
    return tmp_path / "bag"


@pytest.fixture
def logged(monkeypatch):
    """What is logged while a command runs: (path, archetypes, static), with the time set before as (path, time)."""
    calls, now = [], {}

    class Stream(rr.RecordingStream):
        def set_time(self, timeline, **when):
            now["time"] = (timeline, when["timestamp"].astype(int))
            super().set_time(timeline, **when)

        def log(self, path, *parts, static=False):
            calls.append((path, None if static else now["time"], parts))
            super().log(path, *parts, static=static)

    monkeypatch.setattr(rr, "RecordingStream", Stream)
    return calls


def at(logged, path):
    return [(time, parts) for found, time, parts in logged if found == path]


def test_a_bag_becomes_a_recording_with_all_of_it_on_one_timeline(bag, logged, tmp_path, capsys):
    out = tmp_path / "bag.rrd"
    assert main(["rerun", str(bag), "--out", str(out)]) == 0
    assert "2 of camera_info, 2 of depth, 2 of image, 1 of points, 2 of result" in capsys.readouterr().out
    assert {time[0] for _, time, _ in logged if time} == {"ros_time"}
    assert [time[1] for time, _ in at(logged, "camera/image")] == [SECOND, 2 * SECOND]
    for path in ("answer/mask", "answer/text", "answer/image", "answer/points"):
        assert [time[1] for time, _ in at(logged, path)] == [SECOND], path  # of the image that was asked about
    (_, (labels,)), *_ = at(logged, "answer/mask")
    assert labels.buffer is not None
    (_, (picture,)), *_ = at(logged, "answer/image")
    assert isinstance(picture, rr.EncodedImage)
    text = at(logged, "answer/text")[0][1][0].text.as_arrow_array()[0].as_py()
    assert "mug \\[red\\]" in text and "0.93" in text and "perhaps spoon" in text and "little\\_seen" in text
    boxes = [parts for _, parts in at(logged, "answer/boxes") if isinstance(parts[0], rr.Boxes3D)]
    assert len(boxes) == 1 and np.allclose(boxes[0][0].half_sizes.as_arrow_array().to_pylist(), [[0.05, 0.03, 0.1]])
    assert boxes[0][1].frame.as_arrow_array().to_pylist() == [FRAME]
    assert len([parts for _, parts in at(logged, "answer/grasps") if isinstance(parts[0], rr.Arrows3D)]) == 1
    assert [str(parts[0].text.as_arrow_array()[0]) for _, parts in at(logged, "log")] == [
        "'the red mug': OK The mug.",
        "'': REJECTED the query is empty",
    ]
    check = [str(Path(sys.executable).with_name("rerun")), "rrd", "verify", str(out)]
    assert subprocess.run(check, check=False, capture_output=True, timeout=60).returncode == 0


def test_a_message_that_cannot_be_shown_is_told_and_the_rest_is_shown(bag, logged, tmp_path):
    from lisa_ros.viewers.rerun_log import RerunLog

    log = RerunLog(tmp_path / "x.rrd")
    wrong = colour_of("mono32")
    log.add("image", wrong, 5 * SECOND)
    log.add("result", SegmentationResult(status=99), 5 * SECOND)
    log.add("camera_info", info(5), 5 * SECOND)
    log.close()
    assert log.counts == {"camera_info": 1} and sum(log.failures.values()) == 2
    assert any("mono32" in reason for reason in log.failures)
    assert len(at(logged, "log")) == 2


def colour_of(encoding):
    message = image_message(header(5), np.zeros((4, 4, 3), np.uint8))
    message.encoding = encoding
    return message


def test_a_bag_without_the_topics_is_an_error_that_names_what_there_is(bag, tmp_path, capsys):
    assert main(["rerun", str(bag), "--namespace", "other", "--out", str(tmp_path / "x.rrd")]) == 2
    assert "/lisa/image" in capsys.readouterr().err
    assert main(["rerun", str(tmp_path / "nothing"), "--out", str(tmp_path / "x.rrd")]) == 2


def test_options_of_live_are_not_for_bags(bag, capsys):
    assert main(["rerun", str(bag), "--scene"]) == 2
    assert "live" in capsys.readouterr().err
