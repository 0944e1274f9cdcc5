"""Bags of other people's cameras: which topic, which order, which depth, and where the camera was."""

import cv2
import numpy as np
import pytest
from bag_streams import CAMERA, DEPTH, IMAGE, INFO, MS, Loose, depth, pose, written

from lisa_ros.errors import InvalidImageError, RecordingError
from lisa_ros.recordings import messages
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.frames import BagMessage
from lisa_ros.recordings.poses import PoseFinder, interpolated
from lisa_ros.recordings.topics import RgbdTopics

pytestmark = pytest.mark.unit

T0 = 5_000 * MS
RGB = np.zeros((6, 8, 3), np.uint8)
KINDS = (IMAGE, messages.IMAGE), (DEPTH, messages.IMAGE), (INFO, messages.CAMERA_INFO), ("/tf", messages.TF)
ALL = (*KINDS, ("/tf_static", messages.TF))


def frames_of(path, **options):
    with RgbdBag(path, **options) as bag:
        return list(bag.frames())


@pytest.fixture
def bag(tmp_path):
    found = Loose(tmp_path / "bag", *ALL)
    found.add(INFO, T0 - MS, messages.camera_info(CAMERA, T0, "eye"))
    return found


@pytest.mark.parametrize("empty", [IMAGE, f"{IMAGE}/compressed"])
def test_the_topic_with_messages_is_read_whatever_it_is_called(tmp_path, empty):
    kinds = {IMAGE: messages.IMAGE, f"{IMAGE}/compressed": messages.COMPRESSED_IMAGE}
    bag = Loose(tmp_path / "bag", *kinds.items(), (INFO, messages.CAMERA_INFO))
    if empty == IMAGE:
        bag.add(f"{IMAGE}/compressed", T0, messages.compressed_color(written(RGB), "png", T0, "eye"))
    else:
        bag.image(IMAGE, T0, T0, RGB, "rgb8")
    bag.close()
    (frame,) = frames_of(tmp_path / "bag")
    assert frame.messages["image"].topic != empty and np.array_equal(frame.color(), RGB)


def test_depth_without_messages_does_not_hide_the_compressed_one(tmp_path):
    packed = f"{DEPTH}/compressedDepth"
    bag = Loose(tmp_path / "bag", *KINDS, (packed, messages.COMPRESSED_IMAGE))
    bag.image(IMAGE, T0, T0, RGB, "rgb8")
    bag.add(packed, T0 + MS, messages.compressed_depth(depth(700), T0, "eye"))
    bag.close()
    (frame,) = frames_of(tmp_path / "bag")
    assert frame.messages["depth"].topic == packed and float(frame.depth()[0, 0]) == pytest.approx(0.7)


@pytest.mark.parametrize(("raw", "taken"), [(1, False), (9, False), (19, True), (20, True)])
def test_of_two_topics_the_one_that_is_whole_is_read(tmp_path, raw, taken):
    bag = Loose(tmp_path / "bag", (IMAGE, messages.IMAGE), (f"{IMAGE}/compressed", messages.COMPRESSED_IMAGE),
                (INFO, messages.CAMERA_INFO))  # fmt: skip
    for stamp in range(T0, T0 + 20):
        bag.add(f"{IMAGE}/compressed", stamp, messages.compressed_color(written(RGB), "png", stamp, "eye"))
        if stamp < T0 + raw:
            bag.image(IMAGE, stamp, stamp, RGB, "rgb8")
    bag.close()
    assert len(frames_of(bag.path)) == (raw if taken else 20)


def test_a_bag_without_any_image_is_refused(bag):
    bag.image(DEPTH, T0, T0, depth(), "16UC1")
    bag.close()
    with pytest.raises(RecordingError, match=f"no message on {IMAGE}, of 2 in all; image_topic names"):
        frames_of(bag.path)


def test_depth_under_another_name_is_told(tmp_path, caplog):
    other = "/camera/aligned_depth_to_color/image_raw"
    bag = Loose(tmp_path / "bag", *KINDS[:3], (other, messages.IMAGE))
    bag.image(IMAGE, T0, T0, RGB, "rgb8")
    bag.image(other, T0, T0, depth(), "16UC1")
    bag.close()
    (frame,) = frames_of(bag.path)
    assert frame.depth() is None
    assert f"frames have none; depth_topic names another one of {other}" in caplog.text


def test_depth_as_a_file_of_16_bits(tmp_path):
    topic = f"{DEPTH}/compressed"
    bag = Loose(tmp_path / "bag", (IMAGE, messages.IMAGE), (topic, messages.COMPRESSED_IMAGE), KINDS[2])
    bag.image(IMAGE, T0, T0, RGB, "rgb8")
    message = messages.compressed_color(cv2.imencode(".png", depth(1500))[1].tobytes(), "png", T0, "eye")
    message.format = "16UC1; png compressed "
    bag.add(topic, T0, message)
    bag.close()
    assert np.allclose(frames_of(bag.path)[0].depth(), 1.5)


def test_images_without_stamps_have_the_time_of_recording(bag, caplog):
    """One stamp for all would give all of them the first depth image."""
    for number in range(3):
        time = T0 + number * 33 * MS
        bag.image(DEPTH, time, 0, depth(1000 + number), "16UC1")
        bag.image(IMAGE, time + MS, 0, RGB, "rgb8")
    bag.close()
    frames = frames_of(bag.path)
    assert [round(float(frame.depth()[0, 0]), 3) for frame in frames] == [1.0, 1.001, 1.002]
    assert "header.stamp is zero; the time of recording" in caplog.text


@pytest.mark.parametrize("count", [3, 80])
def test_depth_that_belongs_to_no_image_is_told_once(bag, caplog, count):
    for number in range(count):
        stamp = T0 + number * 100 * MS
        bag.later(stamp, lambda s=stamp: bag.image(IMAGE, s, s, RGB, "rgb8"))
        bag.later(stamp, lambda s=stamp: bag.image(DEPTH, s, s + 30 * MS, depth(), "16UC1"))
    bag.close()
    assert {frame.depth() is None for frame in frames_of(bag.path)} == {True}
    (record,) = caplog.records
    assert "0.030 s apart at least, sync_tolerance is 0.02 s" in record.getMessage()
    assert frames_of(bag.path, sync_tolerance=0.04)[0].depth() is not None


def test_a_topic_of_another_type_is_not_taken(tmp_path):
    bag = Loose(tmp_path / "bag", (IMAGE, messages.CAMERA_INFO), (INFO, messages.CAMERA_INFO))
    bag.close()
    with pytest.raises(RecordingError, match=f"{IMAGE} is sensor_msgs/msg/CameraInfo; image_topic names another"):
        RgbdBag(tmp_path / "bag")


@pytest.mark.parametrize("late", [0, 40, 300, 900])
def test_images_come_in_the_order_of_their_stamps(bag, late):
    """Every third image is written down too late."""
    stamps = [T0 + number * 33 * MS for number in range(40)]
    times = [stamp + (late * MS if number % 3 == 1 else 0) for number, stamp in enumerate(stamps)]
    for time, stamp in sorted(zip(times, stamps, strict=True)):
        bag.image(IMAGE, time, stamp, RGB, "rgb8")
    bag.close()
    frames = frames_of(bag.path)
    assert [frame.stamp for frame in frames] == stamps
    assert [frame.index for frame in frames] == list(range(40))


def test_an_image_that_is_later_still_is_told_once(bag, caplog):
    for number in range(120):
        bag.image(IMAGE, T0 + number * 33 * MS, T0 + number * 33 * MS, RGB, "rgb8")
    for number in (0, 1):
        bag.image(IMAGE, T0 + 5_000 * MS + number, T0 + 5 * MS + number, RGB, "rgb8")
    bag.close()
    assert len(frames_of(bag.path)) == 122
    (record,) = caplog.records
    assert f"{IMAGE}: the image at {T0 + 5 * MS} ns was recorded too late" in record.getMessage()


@pytest.mark.parametrize("late", [-500, 0, 100, 300, 900])
def test_depth_belongs_to_the_image_of_its_stamp_whenever_it_was_recorded(bag, late):
    for number in range(50):
        stamp = T0 + number * 33 * MS
        bag.later(stamp, lambda s=stamp: bag.image(IMAGE, s, s, RGB, "rgb8"))
        time = stamp + late * MS
        bag.later(time, lambda s=stamp, t=time, n=number: bag.image(DEPTH, t, s, depth(n + 1), "16UC1"))
    bag.close()
    assert [round(1000 * float(frame.depth()[0, 0])) for frame in frames_of(bag.path)] == list(range(1, 51))


def test_depth_that_comes_too_late_is_told_once(bag, caplog):
    for number in range(60):
        stamp = T0 + number * 33 * MS
        bag.later(stamp, lambda s=stamp: bag.image(IMAGE, s, s, RGB, "rgb8"))
        bag.later(stamp + 1_300 * MS, lambda s=stamp: bag.image(DEPTH, s + 1_300 * MS, s, depth(), "16UC1"))
    bag.close()
    frames_of(bag.path)
    (record,) = caplog.records
    assert f"{DEPTH}: the depth image at {T0} ns was recorded more than 1 s after its image" in record.getMessage()


@pytest.mark.parametrize("role", ["depth", "camera_info"])
def test_what_belongs_to_another_lens_is_refused_unless_it_is_trusted(bag, role):
    topic = {"depth": DEPTH, "camera_info": INFO}[role]
    bag.image(IMAGE, T0, T0, RGB, "rgb8")
    bag.image(DEPTH, T0, T0, depth(900), "16UC1", frame_id="ir_eye" if role == "depth" else "/eye")
    if role == "camera_info":
        bag.add(INFO, T0, messages.camera_info(CAMERA, T0 + 1, "ir_eye"))
        bag.image(IMAGE, T0 + 1, T0 + 1, RGB, "rgb8")
    bag.close()

    def read(frame):
        return frame.depth() if role == "depth" else frame.camera

    with pytest.raises(InvalidImageError, match=f"{topic} .*'ir_eye', the image of 'eye'"):
        read(frames_of(bag.path)[-1])
    assert read(frames_of(bag.path, depth_registration="trust")[-1]) is not None


def test_what_a_picture_lacks_is_told_once(tmp_path, caplog):
    topic = f"{IMAGE}/compressed"
    bag = Loose(tmp_path / "bag", (topic, messages.COMPRESSED_IMAGE), (INFO, messages.CAMERA_INFO))
    for stamp in (T0, T0 + 1):
        message = messages.compressed_color(cv2.imencode(".png", RGB[..., 0])[1].tobytes(), "png", stamp, "eye")
        bag.add(topic, stamp, message)
    bag.close()
    for frame in frames_of(bag.path):
        assert (frame.color() == RGB[..., :1]).all()
    (record,) = caplog.records
    assert topic in record.getMessage() and "its colour is gone" in record.getMessage()


def test_a_part_of_a_bag_has_all_that_belongs_to_it(bag):
    for number in range(10):
        stamp = T0 + number * 33 * MS
        bag.later(stamp, lambda s=stamp: bag.image(IMAGE, s, s, RGB, "rgb8"))
        bag.later(stamp + 300 * MS, lambda s=stamp: bag.image(DEPTH, s + 300 * MS, s, depth(), "16UC1"))
    bag.close()
    with RgbdBag(bag.path) as opened:
        part = list(opened.frames(T0 + 33 * MS, T0 + 99 * MS))
    assert [frame.stamp for frame in part] == [T0 + 33 * MS, T0 + 66 * MS]
    assert all(frame.depth() is not None for frame in part)


def moving(bag, *edges, every=33, count=6):
    """An image and these transforms, (parent, child, x of frame n), at each of `count` times."""
    for number in range(count):
        stamp = T0 + number * 33 * MS
        bag.image(IMAGE, stamp, stamp, RGB, "rgb8")
    for parent, child, x in edges:
        for number in range(count * 33 // every + 1):
            stamp = T0 + number * every * MS
            bag.later(stamp, lambda s=stamp, p=parent, c=child, n=number, x=x: bag.add(
                "/tf", s, messages.transform(pose(x(n)), s, p, c)))  # fmt: skip
    bag.close()


@pytest.mark.parametrize("root", ["head", "base_link", "base", "camera_link", "world_marker", "odom_sensor"])
def test_a_mount_is_no_world(bag, root, caplog):
    moving(bag, (root, "eye", lambda n: 0.1 * n))
    assert [(frame.pose, frame.pose_frame) for frame in frames_of(bag.path)] == [(None, "")] * 6
    (record,) = caplog.records
    assert f"lead from eye to {root}, and not to a frame that is fixed by its name" in record.getMessage()


@pytest.mark.parametrize("world", ["/world", "robot1/map", "camera_odom_frame", "odom_combined", "map_ned"])
def test_a_world_is_known_by_its_name(bag, world):
    moving(bag, (world, "eye", lambda n: n))
    assert [frame.pose[0, 3] for frame in frames_of(bag.path)] == list(range(6))


def test_a_world_that_hangs_below_the_camera_can_be_named(bag, caplog):
    moving(bag, ("eye", "marker", lambda n: n))
    assert [frame.pose for frame in frames_of(bag.path)] == [None] * 6
    assert "no transform of the bag says where eye is" in caplog.records[0].getMessage()
    caplog.clear()
    assert [frame.pose[0, 3] for frame in frames_of(bag.path, world_frame="marker")] == [-n for n in range(6)]
    assert not caplog.records


def test_who_knows_better_names_the_world(bag):
    moving(bag, ("base_link", "eye", lambda n: 0.1 * n))
    frames = frames_of(bag.path, world_frame="base_link")
    assert [frame.pose[0, 3] for frame in frames] == pytest.approx([0.1 * n for n in range(6)])
    assert {frame.pose_frame for frame in frames} == {"base_link"}


def test_the_pose_goes_through_the_whole_tree(bag):
    """A camera on a moving head of a moving robot."""
    head = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    bag.add("/tf_static", T0 - MS, messages.transform(head @ pose(0.5), 0, "/head", "eye"))
    moving(
        bag, ("map", "odom", lambda _: 10), ("odom", "base_link", lambda n: n), ("base_link", "head", lambda n: -0.1)
    )
    frames = frames_of(bag.path)
    for number, frame in enumerate(frames):
        truth = pose(10) @ pose(number) @ pose(-0.1) @ head @ pose(0.5)
        np.testing.assert_allclose(frame.pose, truth, atol=1e-9)
    assert {frame.pose_frame for frame in frames} == {"map"}
    assert frames_of(bag.path, world_frame="odom")[2].pose[0, 3] == pytest.approx(2 - 0.1)


def test_a_camera_on_a_stand_has_a_pose_without_any_tf(bag):
    bag.add("/tf_static", T0 - MS, messages.transform(pose(2), 0, "world", "stand"))
    bag.add("/tf_static", T0 - MS, messages.transform(pose(3), 0, "stand", "eye"))
    moving(bag)
    assert [frame.pose[0, 3] for frame in frames_of(bag.path)] == [5] * 6


def test_of_two_parents_the_world_is_taken_and_two_worlds_are_told(bag, tmp_path, caplog):
    moving(bag, ("head", "eye", lambda n: -n), ("world", "eye", lambda n: n))
    assert [frame.pose[0, 3] for frame in frames_of(bag.path)] == list(range(6))
    assert not caplog.records
    other = Loose(tmp_path / "other", *ALL)
    moving(other, ("map", "eye", lambda n: -n), ("world", "eye", lambda n: n))
    assert [frame.pose for frame in frames_of(other.path)] == [None] * 6
    assert "lead from eye to map, world, on several ways" in caplog.records[0].getMessage()
    assert frames_of(other.path, world_frame="map")[1].pose[0, 3] == -1


def test_a_world_that_is_found_later_does_not_make_the_mount_one(bag):
    """The robot finds its place with the fourth image."""
    for number in range(6):
        stamp = T0 + number * 33 * MS
        bag.image(IMAGE, stamp, stamp, RGB, "rgb8")
        bag.add("/tf", stamp, messages.transform(pose(0.1), stamp, "base_link", "eye"))
        if number > 2:
            bag.add("/tf", stamp, messages.transform(pose(number), stamp, "odom", "base_link"))
    bag.close()
    found = [frame.pose if frame.pose is None else round(frame.pose[0, 3], 6) for frame in frames_of(bag.path)]
    assert found == [None, None, None, 3.1, 4.1, 5.1]


def test_transforms_of_another_rate_are_interpolated(bag):
    """Odometry at 50 Hz; nothing is known behind its end."""
    moving(bag, ("odom", "eye", lambda n: 0.02 * n), every=20, count=6)
    frames = frames_of(bag.path)
    assert [frame.pose[0, 3] for frame in frames] == pytest.approx([0.033 * number for number in range(6)])


def test_turns_are_interpolated_on_the_shortest_arc():
    def turned(degrees):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return np.array([[c, -s, 0, degrees], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])

    for first, second in ((0, 90), (170, 250), (-30, 30), (10, 10)):
        for share in (0.0, 0.25, 1.0):
            expected = turned(first + share * (second - first))
            np.testing.assert_allclose(interpolated(turned(first), turned(second), share), expected, atol=1e-6)


def test_gaps_are_not_bridged(bag):
    for number in range(6):
        stamp = T0 + number * 100 * MS
        bag.image(IMAGE, stamp + 10 * MS, stamp + 10 * MS, RGB, "rgb8")
        if number not in (2, 3):
            bag.add("/tf", stamp, messages.transform(pose(number), stamp, "odom", "eye"))
    bag.close()
    poses = [frame.pose if frame.pose is None else round(frame.pose[0, 3], 3) for frame in frames_of(bag.path)]
    assert poses == [0.1, None, None, None, 4.1, None]


def test_words_name_topics():
    words = {
        "image_topic": "/cam/rgb/compressed",
        "depth_topic": "cam/depth/compressedDepth",
        "tf_topic": "",
        "bag": "x",
    }
    assert RgbdTopics.named(words) == RgbdTopics(image="/cam/rgb", depth="/cam/depth")


def test_what_is_no_bag_is_told_with_its_remedy(tmp_path):
    old = tmp_path / "old.bag"
    old.write_bytes(b"#ROSBAG V2.0\nE\0\0\0")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "run.bag").write_bytes(b"#ROSBAG V2.0\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "cut_0.mcap").write_bytes(b"")
    (tmp_path / "film.mp4").write_bytes(b"film")
    for name, words in {
        "none": "none does not exist",
        "old.bag": "old.bag is no ROS 2 bag: it is of ROS 1: `rosbags-convert --src ",
        "folder": "folder holds run.bag and no ROS 2 bag: it is of ROS 1: `rosbags-convert",
        "empty": "empty holds no bag",
        "cut": "metadata.yaml is missing; `ros2 bag reindex ",
        "film.mp4": "film.mp4 is no bag; give",
    }.items():
        with pytest.raises(RecordingError) as raised:
            RgbdBag(tmp_path / name)
        assert words in str(raised.value)
        assert ("reindex" in str(raised.value)) == (name == "cut")


def test_transforms_do_not_pile_up_where_no_image_comes(tmp_path):
    """A clock far ahead, and a camera that was off: what is kept is a few seconds' worth."""
    finder = PoseFinder({("eye", "world")}, {}, "", interpolate=True)
    for number in range(2000):
        time = T0 + number * 10 * MS
        content = messages.transform(pose(number), time + 10**12, "world", "eye")
        message = BagMessage("/tf", messages.TF, time, b"")
        message.__dict__["message"] = content
        finder.add(message)
    assert len(finder._series["eye", "world"]) <= 302
