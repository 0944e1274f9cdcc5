"""Depth of another lens, clocks that disagree, topics of another type: what a robot is told, over real topics."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from lisa_ros.msg import SegmentationResult as Result
from node_harness import SECOND, SENSOR
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage

pytestmark = pytest.mark.ros

HERE = Path(__file__).parent
WIDTH, HEIGHT = 640, 480
COLOR_F, DEPTH_F, BASELINE = 600.0, 400.0, 0.1  # pixels, pixels, m
NEAR, WALL = 0.8, 1.3  # m


def k_of(focal):
    return [focal, 0.0, WIDTH / 2, 0.0, focal, HEIGHT / 2, 0.0, 0.0, 1.0]


def color_picture():
    """A red square of 12 cm at (0, 0, NEAR) of the colour camera."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    half = round(0.06 * COLOR_F / NEAR)
    image[240 - half : 240 + half, 320 - half : 320 + half] = (220, 30, 30)
    return image


def depth_picture():
    """What a depth camera sees that stands BASELINE to the right: (H, W) uint16 mm."""
    depth = np.full((HEIGHT, WIDTH), round(WALL * 1000), np.uint16)
    half, column = round(0.06 * DEPTH_F / NEAR), round(320 - BASELINE * DEPTH_F / NEAR)
    depth[240 - half : 240 + half, column - half : column + half] = round(NEAR * 1000)
    return depth


@pytest.fixture(scope="module")
def rig(start_node):
    node, robot = start_node(image_timeout=1.0, max_image_age=1.0)
    robot.depth_infos = robot.create_publisher(CameraInfo, "depth_camera_info", QoSProfile(depth=5))
    assert robot.until(lambda: robot.depth_infos.get_subscription_count() == 1)
    yield node, robot
    robot.stop_stream()
    assert node.process.poll() is None and "Traceback" not in node.log, node.log[-3000:]


@pytest.fixture
def rig_robot(rig):
    robot = rig[1]
    assert robot.transition("deactivate") and robot.transition("activate")  # nothing is left of earlier cameras
    publishers = (robot.images, robot.depths, robot.infos, robot.depth_infos)
    assert robot.until(lambda: all(publisher.get_subscription_count() for publisher in publishers))
    yield robot
    robot.stop_stream()
    for name, value in {"depth_registration": "refuse", "depth_pose": [], "image_bits": 0}.items():
        assert robot.set(**{name: value})[0][0]


def two_lenses(robot, text, *, depth_frame="depth_camera", with_info=True, info_frame="camera", **options):
    """Result about one moment of a rig of two cameras."""
    stamp = robot.fresh_stamp()

    def show():
        if with_info:
            info = CameraInfo(height=HEIGHT, width=WIDTH, k=k_of(DEPTH_F))
            robot._publish(robot.depth_infos, info, stamp, depth_frame)
        robot.publish_image(depth_picture(), "16UC1", stamp=stamp, depth=True, frame_id=depth_frame)
        robot.publish_info(HEIGHT, WIDTH, stamp=stamp, k=k_of(COLOR_F), frame_id=info_frame)
        robot.publish_image(options.get("image", color_picture()), options.get("encoding", "rgb8"), stamp=stamp)

    robot.repeat(show)
    robot.outcome(robot.send(f"nothing before {text}", image_stamp=stamp, with_cloud=False))
    robot.outcome(robot.send(f"nothing again before {text}", image_stamp=stamp, with_cloud=False))
    result = robot.outcome(robot.send(text, image_stamp=stamp))[1]
    robot.stop_stream()
    return result


def test_depth_of_another_frame_is_refused(rig_robot):
    result = two_lenses(rig_robot, "red of two lenses", with_info=False)
    assert result.status == Result.NO_DEPTH and not result.targets[0].has_box
    for word in ("'depth_camera'", "'camera'", "depth_registration", "register", "trust"):
        assert word in result.message, result.message


def test_depth_of_another_lens_in_one_frame_is_refused(rig_robot):
    result = two_lenses(rig_robot, "red of one frame", depth_frame="camera")
    assert result.status == Result.NO_DEPTH and "other intrinsics" in result.message, result.message


def test_depth_of_another_lens_is_registered(rig_robot):
    assert (
        rig_robot.set(depth_registration="register", depth_pose=[BASELINE, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
        == [(True, "")] * 2
    )
    result = two_lenses(rig_robot, "red, registered")
    assert result.status == Result.OK, result.message
    centroid = result.targets[0].centroid
    assert (centroid.x, centroid.y, centroid.z) == pytest.approx((0, 0, NEAR), abs=0.01)


def test_depth_that_cannot_be_registered_says_what_is_missing(rig_robot):
    assert rig_robot.set(depth_registration="register") == [(True, "")]
    result = two_lenses(rig_robot, "red without a transform", depth_frame="elsewhere")
    assert result.status == Result.NO_DEPTH and "depth_pose" in result.message, result.message
    result = two_lenses(rig_robot, "red without info", depth_frame="still_elsewhere", with_info=False)
    assert result.status == Result.NO_DEPTH and "depth_camera_info" in result.message, result.message


def test_a_driver_with_sloppy_names_is_trusted_where_that_is_wished(rig_robot):
    assert rig_robot.set(depth_registration="trust") == [(True, "")]
    options = {"depth_frame": "sloppy", "info_frame": "sloppier", "with_info": False}
    assert two_lenses(rig_robot, "red, trusted", **options).status == Result.OK


def test_camera_info_of_another_frame_is_named_with_both_stamps(rig_robot):
    result = two_lenses(rig_robot, "red of a strange calibration", info_frame="another", depth_frame="camera")
    assert result.status == Result.NO_DEPTH, result.message
    assert "'another'" in result.message and "'camera'" in result.message and result.message.count("stamp") >= 2


def test_messages_without_frames_are_taken_and_told(rig, rig_robot):
    moment = {"info_frame": "", "depth_frame": "", "with_info": False}
    result = two_lenses(rig_robot, "red without frames", **moment)
    assert "camera_info" in result.message and "depth names frame_id ''" in result.message, result.message
    assert rig_robot.until(lambda: rig[0].log.count("(said once)") >= 2)


def test_ten_bits_are_as_good_as_eight(rig_robot):
    image = color_picture().astype(np.uint16) * 4
    result = two_lenses(rig_robot, "red in ten bits", image=image, encoding="rgb16", depth_frame="x", with_info=False)
    assert result.targets[0].area == 90 * 90
    assert "image_bits" in result.message


def test_a_camera_ahead_of_the_clock_that_is_unplugged_is_no_camera(rig_robot):
    ahead = 60 * SECOND
    rig_robot.repeat(lambda: rig_robot.moment(stamp=rig_robot.fresh_stamp() + ahead))
    assert rig_robot.until(lambda: "ahead of this node's clock" in rig_robot.ask(f"red {rig_robot.stamp()}").message)
    fine = rig_robot.ask("red of the future")
    assert fine.status == Result.OK and 0 <= fine.image_age.sec < 2
    assert rig_robot.until(lambda: "ahead" in rig_robot.seen["diagnostics"][-1].message)
    rig_robot.stop_stream()
    rig_robot.diagnosed("image age (s)", lambda age: age != "none" and float(age) > 1.0)
    gone = rig_robot.ask("red after the plug was pulled")
    assert gone.status == Result.NO_IMAGE and "camera stopped" in gone.message and "ahead" in gone.message
    rig_robot.plain()


def test_a_camera_behind_the_clock_is_told_from_one_that_stopped(rig_robot):
    rig_robot.repeat(lambda: rig_robot.moment(stamp=rig_robot.fresh_stamp() - 60 * SECOND))
    rig_robot.diagnosed("image stamp ahead of clock (s)", lambda lead: lead != "none" and float(lead) < -50)
    late = rig_robot.ask("red of the past")
    assert late.status == Result.NO_IMAGE and "stamped 60" in late.message and "clock" in late.message, late.message
    assert rig_robot.until(lambda: "in the past" in rig_robot.seen["diagnostics"][-1].message)


def test_an_image_topic_with_the_transport_in_its_name_is_told(start_node):
    arguments = ("--ros-args", "-r", "image:=camera/image_raw/compressed", "--")
    node, robot = start_node(ready=False, program=(HERE / "faulty_engine.py", *arguments), image_timeout=0.5)
    camera = robot.create_publisher(CompressedImage, "camera/image_raw/compressed", SENSOR)
    robot.wait_until_active(node)
    assert "`image` is remapped to" in node.log
    assert robot.until(lambda: "nobody publishes" in node.log)
    robot.repeat(lambda: camera.publish(CompressedImage(format="jpeg")))
    robot._named_clients.clear()
    assert robot.until(lambda: robot.action.server_is_ready())
    told = robot.ask("red of a wrong topic").message
    for words in ("image_transport to compressed", "/camera/image_raw (without", "CompressedImage; best effort"):
        assert words in told, told
    assert words in robot.seen["diagnostics"][-1].message
    robot.stop_stream()


def bent(image, coefficients):
    """What a fisheye lens makes of a straight picture of focal length COLOR_F, nearest pixels."""
    k = np.array(k_of(COLOR_F)).reshape(3, 3)
    columns, rows = np.meshgrid(np.arange(WIDTH, dtype=float), np.arange(HEIGHT, dtype=float))
    seen = np.stack([columns.ravel(), rows.ravel()], axis=-1)[None]
    straight = cv2.fisheye.undistortPoints(seen, k, np.array(coefficients), None, k)[0]
    at = np.rint(straight).astype(int).clip(0, (WIDTH - 1, HEIGHT - 1))
    return np.ascontiguousarray(image[at[:, 1], at[:, 0]].reshape(image.shape))


def test_an_image_that_is_not_rectified_is_made_straight_for_its_clouds(rig_robot):
    lens = [0.2, 0.05, 0.0, 0.0]
    image, depth = np.full((HEIGHT, WIDTH, 3), 90, np.uint8), np.full((HEIGHT, WIDTH), 1300, np.uint16)
    image[340:420, 480:580], depth[340:420, 480:580] = (220, 30, 30), 800  # off the axis, where the lens bends
    info = {"k": k_of(COLOR_F), "distortion_model": "equidistant", "d": lens}
    result = rig_robot.ask_about("red through a fisheye", bent(image, lens), bent(depth, lens), info=info)
    assert result.status == Result.OK, result.message
    truth = (529.5 - 320) / COLOR_F * 0.8, (379.5 - 240) / COLOR_F * 0.8, 0.8
    found = result.targets[0].centroid
    assert (found.x, found.y, found.z) == pytest.approx(truth, abs=0.004)
    refused = rig_robot.ask_about("red through a strange lens", info={"distortion_model": "omni", "d": [0.1] * 4})
    assert refused.status == Result.NO_DEPTH and "'omni'" in refused.message


@pytest.mark.parametrize("size", [(1280, 960), (640, 480)])
def test_binning_of_the_whole_sensor(rig_robot, size):
    info = {"k": [1200.0, 0.0, 639.5, 0.0, 1200.0, 479.5, 0.0, 0.0, 1.0], "binning_x": 2, "binning_y": 2}
    info |= {"width": size[0], "height": size[1]}
    depth = np.full((HEIGHT, WIDTH), 800, np.uint16)
    result = rig_robot.ask_about(f"red, binned of {size}", color_picture(), depth, info=info)
    assert result.status == Result.OK, result.message
    assert result.targets[0].extents.x == pytest.approx(0.12, abs=0.005)
    assert abs(result.targets[0].centroid.x) < 0.002


def test_transports_with_red_and_blue_exchanged_and_rvl(start_node):
    transports = {"image_transport": "compressed", "depth_transport": "compressedDepth"}
    node, robot = start_node(ready=False, image_timeout=1.0, **transports)
    images = robot.create_publisher(CompressedImage, "image/compressed", SENSOR)
    depths = robot.create_publisher(CompressedImage, "depth/compressedDepth", SENSOR)
    robot.wait_until_active(node)
    publishers = (images, depths, robot.infos)
    assert robot.until(lambda: all(publisher.get_subscription_count() for publisher in publishers))
    jpeg = cv2.imencode(".jpg", color_picture())[1]  # OpenCV takes RGB for BGR
    # One run of no zeros and all pixels, the first 800 above 0 and the others equal to the one before.
    rvl = struct.pack("<iffII", 0, 0, 0, WIDTH, HEIGHT) + rvl_of_one_value(800, WIDTH * HEIGHT)

    def show():
        stamp = robot.fresh_stamp()
        robot._publish(depths, CompressedImage(format="16UC1; compressedDepth rvl", data=rvl), stamp, "camera")
        robot.publish_info(HEIGHT, WIDTH, stamp=stamp, k=k_of(COLOR_F))
        robot._publish(images, CompressedImage(format="rgb8; jpeg compressed rgb8", data=jpeg.ravel()), stamp, "camera")

    robot.repeat(show)
    assert robot.until(lambda: robot.ask(f"red, exchanged {robot.stamp()}").status == Result.OK, 20)
    result = robot.ask("red, exchanged at last")
    assert 8000 < result.targets[0].area < 9000  # JPEG smears the edge
    assert result.targets[0].centroid.z == pytest.approx(0.8, abs=0.005)
    robot.stop_stream()


def rvl_of_one_value(value, count):
    """RVL of a picture of one value."""
    digits = f"0{varint(count)}{varint(2 * value)}" + "0" * (count - 1)
    digits += "0" * (-len(digits) % 8)
    return b"".join(struct.pack("<I", int(digits[i : i + 8], 16)) for i in range(0, len(digits), 8))


def varint(number):
    """Groups of three bits, lowest first, as hexadecimal digits."""
    groups = [(number >> shift) & 7 for shift in range(0, max(number.bit_length(), 1), 3)]
    return "".join(f"{group | 8:x}" for group in groups[:-1]) + f"{groups[-1]:x}"
