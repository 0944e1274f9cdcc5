"""Bags: what ros2 bag play needs of them, and frames out of streams that are not as tidy as our own."""

import contextlib
import itertools
import tracemalloc

import numpy as np
import pytest
import yaml
from bag_streams import CAMERA, DEPTH, IMAGE, INFO, MS, Loose, depth, pose
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from lisa_ros import graph
from lisa_ros.errors import ConfigurationError, InvalidImageError, RecordingError
from lisa_ros.recordings import messages
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.bag_writer import RgbdBagWriter
from lisa_ros.recordings.topics import RgbdTopics, stamp_of_index

pytestmark = pytest.mark.unit


def jpeg(value=90):
    import cv2

    return cv2.imencode(".jpg", np.full((6, 8, 3), value, np.uint8))[1].tobytes()


def write(path, frames=5, **options):
    with RgbdBagWriter(path, CAMERA, CAMERA, **options) as writer:
        for index in range(frames):
            writer.add(stamp_of_index(index), jpeg(index), "jpeg", depth(index + 1), pose(index))
    return path


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_metadata_is_what_humble_to_kilted_read(tmp_path, storage):
    """The rules of rosbag2's YAML reader in Humble, Iron, Jazzy and Kilted."""
    write(tmp_path / "bag", storage=storage)
    metadata = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert metadata["version"] == 8  # the last one in which Humble finds qualities of service as a string
    assert metadata["storage_identifier"] == storage
    for topic in metadata["topics_with_message_count"]:
        assert isinstance(topic["topic_metadata"]["type_description_hash"], str)
        (quality,) = yaml.safe_load(topic["topic_metadata"]["offered_qos_profiles"])
        assert all(isinstance(quality[name], int) for name in ("history", "reliability", "durability", "liveliness"))
        assert quality["reliability"] == 1 and quality["durability"] == 2
    assert isinstance(metadata["custom_data"], dict) and metadata["custom_data"]
    assert metadata["files"][0]["message_count"] == metadata["message_count"] == 25
    assert (tmp_path / "bag" / metadata["relative_file_paths"][0]).is_file()
    assert metadata["files"][0]["path"] == metadata["relative_file_paths"][0]
    assert metadata["starting_time"]["nanoseconds_since_epoch"] == stamp_of_index(0)


def test_types_are_those_of_every_distribution(tmp_path):
    with Reader(write(tmp_path / "bag")) as reader:
        digests = {connection.msgtype: connection.digest for connection in reader.connections}
    names = ("HUMBLE", "IRON", "JAZZY", "KILTED", "LYRICAL")
    for store in (Stores[f"ROS2_{name}"] for name in names):
        types = get_typestore(store)
        assert {name: types.hash_rihs01(name) for name in digests} == digests


def test_camera_preset_names_the_topics_of_our_bags():
    (process,) = graph.processes({"camera": "scannet"})
    topics = RgbdTopics()
    assert dict(process.remappings) == {
        "image": topics.image,
        "depth": topics.depth,
        "camera_info": topics.camera_info,
    }
    assert process.parameters["image_transport"] == "compressed"
    assert process.parameters["depth_transport"] == "compressedDepth"


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_written_frames_are_read_in_order(tmp_path, storage):
    with RgbdBag(write(tmp_path / "bag", 40, storage=storage)) as bag:
        assert len(bag) == 40 and bag.span == (stamp_of_index(0), stamp_of_index(39))
        frames = list(bag.frames())
        assert [frame.index for frame in frames] == list(range(40))
        assert [frame.pose[0, 3] for frame in frames] == list(range(40))
        assert [round(1000 * float(frame.depth()[0, 0])) for frame in frames] == list(range(1, 41))
        assert frames[7].camera == CAMERA and frames[7].color().shape == (6, 8, 3)
        part = list(bag.frames(stamp_of_index(10), stamp_of_index(12)))
        assert [frame.stamp for frame in part] == [stamp_of_index(10), stamp_of_index(11)]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_memory_does_not_grow_with_the_bag(tmp_path, storage):
    noise = np.random.default_rng(0).integers(0, 255, 40_000, np.uint8).tobytes()
    numbers = itertools.count()

    def peak(frames):
        tracemalloc.start()
        path = tmp_path / f"{next(numbers)}"
        with RgbdBagWriter(path, CAMERA, CAMERA, storage) as writer:
            for index in range(frames):
                writer.add(stamp_of_index(index), noise, "jpeg", depth(), pose(index))
        with RgbdBag(path) as bag:
            assert sum(len(frame.messages["image"].data) > 40_000 for frame in bag.frames()) == frames
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(60)  # what is loaded once
    assert peak(250) - peak(60) < 0.05 * (250 - 60) * len(noise)


def test_the_image_comes_last_of_its_moment(tmp_path):
    """Whoever has the image has all that belongs to it."""
    with RgbdBag(write(tmp_path / "bag", 60)) as bag:
        topics = [message.topic for message in bag.messages()]
    assert topics == ["/tf", INFO, "/camera/depth/camera_info", f"{DEPTH}/compressedDepth", f"{IMAGE}/compressed"] * 60


def test_interrupted_writing_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), RgbdBagWriter(tmp_path / "bag", CAMERA, CAMERA) as writer:
        writer.add(stamp_of_index(0), jpeg(), "jpeg", depth())
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match="storage='rosbag'"):
        RgbdBagWriter(tmp_path / "bag", CAMERA, CAMERA, storage="rosbag")


def test_loose_streams_are_put_together(tmp_path):
    """Depth 5 ms off and late, poses of several frames, a camera_info that is said once."""
    bag = Loose(
        tmp_path / "bag",
        (IMAGE, messages.IMAGE),
        (DEPTH, messages.IMAGE),
        (INFO, messages.CAMERA_INFO),
        ("/tf", messages.TF),
    )
    t0 = 5_000 * MS
    bag.add("/tf", t0 - MS, messages.transform(pose(-1), t0, "world", "eye"))
    for number in range(6):
        stamp = t0 + number * 33 * MS
        bag.image(IMAGE, stamp + MS, stamp, np.full((6, 8, 3), number, np.uint8), "bgr8")
        if number != 4:
            bag.image(DEPTH, stamp + 100 * MS, stamp + 5 * MS, depth(number + 1), "16UC1")
        if number:
            bag.add("/tf", stamp + 2 * MS, messages.transform(pose(number), stamp, "world", "eye"))
        bag.add("/tf", stamp + 2 * MS, messages.transform(pose(99), stamp, "eye", "hand"))
        if number == 2:
            bag.add(INFO, stamp, messages.camera_info(CAMERA, stamp, "eye"))
    bag.close()
    with RgbdBag(tmp_path / "bag") as bag:
        frames = list(bag.frames())
        assert bag.manifest == {}
    assert [frame.index for frame in frames] == list(range(6))
    assert [int(frame.color()[0, 0, 0]) for frame in frames] == list(range(6))
    depths = [frame.depth() for frame in frames]
    assert [None if d is None else round(1000 * float(d[0, 0])) for d in depths] == [1, 2, 3, 4, None, 6]
    assert [frame.pose[0, 3] for frame in frames] == [-1, 1, 2, 3, 4, 5]
    assert all(frame.camera == CAMERA and frame.frame_id == "eye" for frame in frames)


def test_a_bag_without_depth_and_tf_gives_images(tmp_path):
    bag = Loose(tmp_path / "bag", (IMAGE, messages.IMAGE), (INFO, messages.CAMERA_INFO))
    for number in range(3):
        bag.image(IMAGE, number * 33 * MS, number * 33 * MS, np.zeros((6, 8, 3), np.uint8), "rgb8")
    bag.close()
    with RgbdBag(tmp_path / "bag") as bag:
        frames = list(bag.frames())
    assert [(frame.depth(), frame.pose) for frame in frames] == [(None, None)] * 3
    with pytest.raises(InvalidImageError, match="no camera_info"):
        frames[0].camera  # noqa: B018


def test_the_camera_is_that_of_the_rectified_image(tmp_path):
    bag = Loose(tmp_path / "bag", (IMAGE, messages.IMAGE), (INFO, messages.CAMERA_INFO))
    info = messages.camera_info(CAMERA, 0, "eye")  # its K and P are equal
    info.k = info.k * 1.25
    bag.add(INFO, 0, info)
    bag.image(IMAGE, 0, 0, np.zeros((6, 8, 3), np.uint8), "rgb8")
    bag.close()
    with RgbdBag(tmp_path / "bag") as bag:
        assert next(bag.frames()).camera == CAMERA


@pytest.mark.parametrize(("name", "value"), [("rotation.w", 0.0), ("rotation.x", np.nan), ("translation.x", np.nan)])
def test_a_transform_that_is_no_pose_leaves_its_frame_without_one(tmp_path, name, value):
    bag = Loose(tmp_path / "bag", (IMAGE, messages.IMAGE), (INFO, messages.CAMERA_INFO), ("/tf", messages.TF))
    bag.add(INFO, 0, messages.camera_info(CAMERA, 0, "eye"))
    for number in range(3):
        lost = messages.transform(pose(number), number * 33 * MS, "world", "eye")
        if number == 1:
            part, axis = name.split(".")
            setattr(getattr(lost.transforms[0].transform, part), axis, value)
        bag.add("/tf", number * 33 * MS, lost)
        bag.image(IMAGE, number * 33 * MS, number * 33 * MS, np.zeros((6, 8, 3), np.uint8), "rgb8")
    bag.close()
    with RgbdBag(tmp_path / "bag") as bag:
        assert [frame.pose is None for frame in bag.frames()] == [False, True, False]


def test_other_topics_can_be_named(tmp_path):
    path = write(tmp_path / "bag", topics=RgbdTopics("/a", "/b", "/c", "/d"))
    with pytest.raises(RecordingError, match=r"has no topic /camera/color/image_raw or .*; it has /a/compressed, "):
        RgbdBag(path)
    with RgbdBag(path, RgbdTopics("/a", "/b", "/c", "/d")) as bag:
        assert len(list(bag.frames())) == 5


def test_one_storage_file_is_read_as_well(tmp_path):
    path = write(tmp_path / "bag")
    with RgbdBag(path / "bag.mcap") as bag:
        assert len(list(bag.frames())) == 5


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_damaged_bags_are_errors_that_say_so(tmp_path, storage):
    path = write(tmp_path / "bag", 30, storage=storage)
    file = next(item for item in path.iterdir() if item.suffix in (".mcap", ".db3"))
    data = file.read_bytes()
    for size in (0, 5, len(data) // 2, len(data) - 5000):
        file.write_bytes(data[:size])
        with pytest.raises(RecordingError, match="bag"), RgbdBag(path) as bag:
            list(bag.frames())
    file.unlink()
    with pytest.raises(RecordingError, match="not a whole bag"):
        RgbdBag(path)
    (path / "metadata.yaml").write_text("rosbag2_bagfile_information: 5")
    with pytest.raises(RecordingError, match="not a whole bag"):
        RgbdBag(path)
    with pytest.raises(RecordingError, match="does not exist"):
        RgbdBag(tmp_path / "none")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_damaged_bytes_never_pass_as_another_error(tmp_path, storage):
    path = write(tmp_path / "bag", 4, storage=storage)
    file = next(item for item in path.iterdir() if item.suffix in (".mcap", ".db3"))
    data, random = file.read_bytes(), np.random.default_rng(1)
    for _ in range(25):
        damaged = bytearray(data)
        for at in random.integers(0, len(data), 20).tolist():
            damaged[at] = int(random.integers(256))
        file.write_bytes(damaged)
        with contextlib.suppress(RecordingError, InvalidImageError), RgbdBag(path) as bag:
            for frame in bag.frames():
                frame.color(), frame.depth()


def test_a_damaged_message_is_named(tmp_path):
    path = tmp_path / "bag"
    bag = Loose(path, (IMAGE, messages.IMAGE), (INFO, messages.CAMERA_INFO))
    bag._writer.write(bag._connections[IMAGE], 7, b"\x00\x01\x00\x00\xff\xff")
    bag.close()
    with RgbdBag(path) as bag, pytest.raises(RecordingError, match=f"{IMAGE} at 7 ns: 6 bytes are not a whole"):
        list(bag.frames())
