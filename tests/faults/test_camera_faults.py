"""Cameras that stop, change, lie or are two: the query says what is wrong, and the next good image works."""

import numpy as np
import pytest
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result
from node_harness import SECOND, depth_of, picture
from sensor_msgs.msg import Image

pytestmark = pytest.mark.ros
Stage = Segment.Feedback
NAN, INF = float("nan"), float("inf")


def size_of(result):
    return result.mask.height, result.mask.width


def test_a_camera_that_starts_late_is_waited_for_and_one_that_stops_is_named(robot):
    assert robot.transition("deactivate") and robot.transition("activate")  # empties the buffer
    nothing = robot.ask("red of nothing")
    assert nothing.status == Result.NO_IMAGE and "camera running" in nothing.message
    assert robot.set(image_timeout=30.0) == [(True, "")]
    handle = robot.send("red, early bird")
    robot.stage_seen(Stage.QUEUED)
    robot.stream()
    assert robot.outcome(handle)[1].status == Result.OK
    robot.stop_stream()
    assert robot.set(image_timeout=0.2) == [(True, "")]
    robot.diagnosed("image age (s)", lambda age: age != "none" and float(age) > 1.0)
    stopped = robot.ask("red of the past")
    assert stopped.status == Result.NO_IMAGE and "max_image_age" in stopped.message and not stopped.targets
    assert robot.set(image_timeout=1.0) == [(True, "")]


def test_a_camera_that_changes_its_size_mid_stream_is_followed(robot):
    sizes = [(120, 160), (96, 128), (240, 320), (120, 160)]
    for number, (height, width) in enumerate(sizes):
        image = picture(height, width)
        robot.repeat(lambda image=image: robot.moment(image))
        assert robot.until(lambda image=image: size_of(robot.ask(f"red, waiting {robot.stamp()}")) == image.shape[:2])
        result = robot.ask(f"red of size {number}")
        assert result.status == Result.OK, result.message
        assert size_of(result) == (height, width) and result.targets[0].has_box


@pytest.mark.parametrize(
    ("encoding", "convert"),
    [
        ("bgr8", lambda rgb: np.ascontiguousarray(rgb[..., ::-1])),
        ("rgba8", lambda rgb: np.dstack([rgb, np.full(rgb.shape[:2], 7, np.uint8)])),
        ("bgra8", lambda rgb: np.dstack([rgb[..., ::-1], np.full(rgb.shape[:2], 7, np.uint8)])),
    ],
)
def test_a_camera_that_changes_its_encoding_mid_stream_is_followed(robot, encoding, convert):
    robot.plain()
    result = robot.ask_about(f"red as {encoding}", convert(picture()), depth_of(picture()), encoding=encoding)
    assert result.status == Result.OK, result.message
    assert result.targets[0].area == 1600 and result.targets[0].roi.x_offset == 40


def test_grey_images_are_images(robot):
    grey = picture()[..., 0]
    for encoding, pixels in (("mono8", grey), ("mono16", grey.astype(np.uint16) * 257)):
        result = robot.ask_about(f"red as {encoding}", pixels, depth_of(grey), encoding=encoding)
        assert result.status == Result.NO_TARGET and size_of(result) == (120, 160)


LIES = {
    "encoding": ({"encoding": "yuv444"}, "'yuv444' is not supported"),
    "step": ({"step": 100}, "step 100 is shorter"),
    "long_step": ({"step": 1000}, "step 1000 x height 120"),
    "height": ({"height": 4000}, "x height 4000"),
    "empty": ({"height": 0, "width": 0}, "0x0 pixels is empty"),
    "width": ({"width": 2**32 - 1}, "shorter than a row"),
}


@pytest.mark.parametrize("name", LIES)
def test_an_image_that_lies_about_itself_is_dropped_with_its_reason(robot, node, name):
    lies, words = LIES[name]
    robot.plain()
    rejected = int(robot.diagnosed("image rejected", lambda _: True))

    def lie():
        robot.publish_image(picture(), **{"encoding": "rgb8", **lies})

    robot.repeat(lie)
    assert words in robot.diagnosed("image last rejection", lambda reason: words in reason)
    robot.diagnosed("image rejected", lambda count: int(count) > rejected)
    robot.diagnosed("image age (s)", lambda age: float(age) > 1.0)
    result = robot.ask(f"red of a lie about {name}")
    assert result.status == Result.NO_IMAGE and words in result.message, result.message
    assert "the message is dropped" in node.log


def test_refused_images_do_not_flood_the_log(robot, node):
    before = node.log.count("the message is dropped")
    rejected = int(robot.diagnosed("image rejected", lambda _: True))
    robot.repeat(lambda: robot.publish_image(picture(), "nonsense"), rate=50)
    robot.diagnosed("image rejected", lambda count: int(count) > rejected + 60)
    assert node.log.count("the message is dropped") - before <= 3


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_in_the_place_of_the_image_is_no_image(robot, encoding):
    pixels = depth_of(picture()).astype(np.uint16 if encoding == "16UC1" else np.float32)
    result = robot.ask_about(f"red in {encoding}", pixels, False, encoding=encoding)
    assert result.status == Result.NO_IMAGE and f"'{encoding}' is not supported" in result.message


def test_a_conversation_does_not_stay_with_an_image_that_cannot_be_read(robot):
    stamp = robot.fresh_stamp()
    robot.repeat(lambda: robot.publish_image(depth_of(picture()), "16UC1", stamp=stamp))
    first = robot.outcome(robot.send("red, unreadable", conversation_id="broken", image_stamp=stamp))[1]
    assert first.status == Result.NO_IMAGE and "not supported" in first.message
    robot.stream()
    robot.plain()
    robot.stream()
    assert robot.outcome(robot.send("red, readable", conversation_id="broken"))[1].status == Result.OK
    robot.trigger("forget")


def test_an_image_that_is_too_old_before_its_depth_comes_does_not_hold_up_its_query(robot):
    robot.plain()
    robot.diagnosed("image age (s)", lambda age: float(age) > 0.5)
    assert robot.set(max_image_age=0.25, image_timeout=0.5) == [(True, "")] * 2
    for attempt in range(5):
        robot.moment(depth=False)  # while somebody publishes depth it is waited for, 0.3 s long
        result = robot.ask(f"red, just in time {attempt}", timeout=5.0)
        assert result.status == Result.NO_IMAGE and "max_image_age" in result.message
    assert robot.set(max_image_age=1.0, image_timeout=1.0) == [(True, "")] * 2


def metres(value):
    return np.full((120, 160), value, np.float32)


DEPTHS = {
    "missing": (False, {}, "no depth image is within"),
    "nan": (metres(NAN), {}, "no valid pixel"),
    "infinite": (metres(INF), {}, "no valid pixel"),
    "negative": (metres(-1), {}, "no valid pixel"),
    "zero": (np.zeros((120, 160), np.uint16), {}, "no valid pixel"),
    "unknown": (np.zeros((120, 160), np.uint8), {"depth_encoding": "8UC1"}, "'8UC1' is not supported"),
    "colour": (picture(), {"depth_encoding": "rgb8"}, "depth encoding 'rgb8'"),
    "another_view": (np.full((120, 120), 1000, np.uint16), {}, "aspects differ"),
    "one_pixel": (np.full((1, 1), 1000, np.uint16), {}, "aspects differ"),
    "beyond": (metres(1e30), {}, "outside the range"),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_useless_depth_leaves_the_mask_and_says_why(robot, name):
    depth, options, words = DEPTHS[name]
    result = robot.ask_about(f"red with depth {name}", depth=depth, **options)
    assert result.status == Result.NO_DEPTH and words in result.message, result.message
    assert result.targets[0].area == 1600 and not result.targets[0].has_box


@pytest.mark.parametrize("scale", [2, 4])
def test_depth_of_another_size_is_scaled(robot, scale):
    depth = np.ascontiguousarray(depth_of(picture())[scale // 2 :: scale, scale // 2 :: scale])
    result = robot.ask_about(f"red at a scale of {scale}", depth=depth)
    assert result.status == Result.OK, result.message
    assert result.targets[0].centroid.x == pytest.approx(-0.12, abs=0.02)
    assert result.targets[0].centroid.z == pytest.approx(0.9, abs=0.01)


INFOS = {
    "zeros": ({"k": [0.0] * 9, "width": 0, "height": 0}, "0x0"),
    "uncalibrated": ({"k": [0.0] * 9}, "calibration"),
    "nan": ({"k": [NAN] * 9}, "finite"),
    "infinite": ({"k": [INF] * 9}, "finite"),
    "mirrored": ({"k": [-150.0, 0.0, 80.0, 0.0, -150.0, 60.0, 0.0, 0.0, 1.0]}, "positive"),
    "another": ({"width": 640, "height": 480}, "640x480"),
}


@pytest.mark.parametrize("name", INFOS)
def test_useless_intrinsics_leave_the_mask_and_say_why(robot, name):
    info, words = INFOS[name]
    result = robot.ask_about(f"red seen by {name}", info=info)
    assert result.status == Result.NO_DEPTH and words in result.message, result.message
    assert result.targets[0].area == 1600 and not result.targets[0].has_box


def test_the_cloud_of_a_rectified_image_is_that_of_its_projection_matrix(robot):
    k = [150.0, 0.0, 80.0, 0.0, 150.0, 60.0, 0.0, 0.0, 1.0]  # of the raw image
    p = [300.0, 0.0, 80.0, 0.0, 0.0, 300.0, 60.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    result = robot.ask_about("red, rectified", info={"k": k, "p": p, "d": [0.3, 0.0, 0.0, 0.0, 0.0]})
    assert result.status == Result.OK, result.message
    assert result.targets[0].centroid.x == pytest.approx(-0.06, abs=0.005)


def test_a_stamp_of_zero_is_replaced_by_the_arrival_and_named(robot, node):
    assert robot.transition("deactivate") and robot.transition("activate")
    robot.repeat(lambda: robot.moment(stamp=0))
    assert robot.until(lambda: robot.ask(f"red, unstamped {robot.stamp()}").status == Result.OK)
    result = robot.ask("red, unstamped")
    assert result.status == Result.OK and result.header.stamp.sec > 0
    assert robot.until(lambda: "header.stamp is zero" in node.log)


def test_a_stamp_that_is_no_time_is_refused(robot):
    def nonsense():
        from sensor_msgs.msg import Image

        message = Image(height=1, width=1, encoding="mono8", step=1, data=[1])
        message.header.stamp.sec = -5
        robot.images.publish(message)

    robot.repeat(nonsense)
    robot.diagnosed("image last rejection", lambda reason: "is not a time" in reason)


def test_one_stamp_of_the_far_future_does_not_stop_the_camera(robot):
    robot.plain()
    future = robot.stamp() + 10**6 * SECOND
    robot.moment(stamp=future)
    robot.stream()
    assert robot.until(lambda: 0 < robot.ask(f"red at {robot.stamp()}").header.stamp.sec < future // SECOND)


def test_two_cameras_on_one_topic_with_clocks_of_their_own(robot):
    def both():
        robot.moment(picture(96, 128), stamp=robot.stamp() - 100 * SECOND)
        robot.moment()

    robot.repeat(both)
    results = [robot.ask(f"red, two cameras {n}") for n in range(5)]
    assert {result.status for result in results} <= {Result.OK, Result.NO_DEPTH, Result.NO_IMAGE}
    robot.diagnosed("stream restarts", lambda count: int(count) > 3)


def test_a_second_camera_on_the_topics_is_reported(robot):
    robot.stream()
    assert robot.until(lambda: robot.seen["diagnostics"] and robot.seen["diagnostics"][-1].message == "ok")
    second = robot.create_publisher(Image, "depth", 5)
    assert robot.until(lambda: "depth has 2 publishers" in robot.seen["diagnostics"][-1].message)
    robot.destroy_publisher(second)
    assert robot.until(lambda: robot.seen["diagnostics"][-1].message == "ok")


def test_two_cameras_on_one_topic_never_mix_their_sizes(robot):
    def both():
        stamp = robot.stamp()
        robot.moment(picture(96, 128), stamp=stamp)
        robot.moment(stamp=stamp + 1_000_000)

    robot.repeat(both)
    for n in range(6):
        result = robot.ask(f"red, two sizes {n}")
        assert result.status in (Result.OK, Result.NO_DEPTH), result.message
        assert result.status == Result.OK or "does not give the image's" in result.message


def test_an_image_of_one_pixel(robot):
    pixel = np.array([[[220, 30, 30]]], np.uint8)
    result = robot.ask_about("red, one pixel", pixel, np.full((1, 1), 900, np.uint16))
    assert result.status == Result.NO_DEPTH and "below min_points" in result.message, result.message
    assert result.targets[0].area == 1 and result.targets[0].touches_border


def test_an_image_of_twelve_million_pixels(robot):
    big, depth = np.zeros((3000, 4000, 3), np.uint8), np.full((300, 400), 1000, np.uint16)
    result = robot.ask_about("the corner of a huge image", big, depth, rate=2)
    assert result.status == Result.OK, result.message
    assert size_of(result) == (3000, 4000)
    assert result.targets[0].area == 400 * 400 and result.targets[0].has_box
