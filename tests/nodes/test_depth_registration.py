"""Which depth is taken as it is, which is registered, which is refused: the rules, without a node."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

from lisa_ros.errors import NoDepthError, NoTransformError
from lisa_ros.geometry import CameraModel
from lisa_ros.nodes.perception.clouds.depth_registration import image_calibration, image_depth
from lisa_ros.nodes.perception.frames.camera_transforms import CameraTransforms
from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame
from lisa_ros.nodes.perception.frames.frame_poses import FramePoses
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.nodes.perception.queries.query import ACTION, Query, QueryRequest
from lisa_ros.sensor_messages.image_messages import to_data

pytestmark = pytest.mark.ros

COLOR = CameraModel(1280, 720, 900.0, 900.0, 640.0, 360.0)


def framed(message, frame_id, stamp=5):
    message.header.frame_id, message.header.stamp.sec = frame_id, stamp
    return message


def depth_message(width=640, height=360, frame_id="color"):
    pixels = np.full((height, width), 1000, np.uint16)
    sent = Image(width=width, height=height, step=2 * width, encoding="16UC1", data=to_data(pixels))
    return framed(sent, frame_id)


def info_of(camera, frame_id="color"):
    return framed(CameraInfo(width=camera.width, height=camera.height, k=camera.matrix.ravel()), frame_id, 7)


def query(depth=None, depth_info=None, info=None, **parameters):
    image = framed(Image(width=1280, height=720, encoding="rgb8"), "color")
    frame = CameraFrame(1, 1, image, depth or depth_message(), info or info_of(COLOR), depth_info=depth_info)
    asked = Query(QueryRequest("?", ACTION, PerceptionParameters(**parameters), 0, True))
    asked.bind(frame, None)
    return asked


def poses_of(asked, transforms, earlier=None):
    return FramePoses(transforms, asked.frame, asked.request.parameters, earlier)


@pytest.mark.parametrize("depth_info", [None, info_of(COLOR.scaled(640, 360)), info_of(COLOR.scaled(640, 360), "")])
@pytest.mark.parametrize("rule", ["refuse", "register", "trust"])
@pytest.mark.parametrize("frame_id", ["color", "/color"])
def test_registered_depth_is_taken_as_it_is(depth_info, rule, frame_id):
    asked = query(depth_message(frame_id=frame_id), depth_info, depth_registration=rule)
    depth = image_depth(asked, COLOR)
    assert depth.camera is None and depth.remarks == () and (depth.metres == 1).all()


OTHER_LENS = CameraModel(640, 360, 320.0, 320.0, 320.0, 180.0)


@pytest.mark.parametrize(
    ("depth", "depth_info", "words"),
    [
        (depth_message(frame_id="depth"), None, "'depth'"),
        (depth_message(), info_of(OTHER_LENS), "other intrinsics"),
        (depth_message(848, 480), None, "848x480"),
        (depth_message(), info_of(OTHER_LENS, "elsewhere"), "'elsewhere'"),
        (depth_message(), CameraInfo(width=640, height=360), "not usable"),
    ],
)
def test_other_depth_is_refused_with_what_differs(depth, depth_info, words):
    with pytest.raises(NoDepthError, match=words):
        image_depth(query(depth, depth_info), COLOR)


def test_other_depth_comes_with_what_registers_it():
    asked = query(depth_message(), info_of(OTHER_LENS), depth_registration="register")
    depth = image_depth(asked, COLOR)
    assert depth.camera == OTHER_LENS and (depth.pose == np.eye(4)).all() and "place" in depth.remarks[0]
    with pytest.raises(NoDepthError, match="depth_camera_info"):
        image_depth(query(depth_message(848, 480), None, depth_registration="register"), COLOR)


def test_trust_takes_all_but_a_size_that_cannot_be():
    strange = depth_message(frame_id="x"), info_of(OTHER_LENS, "y"), info_of(COLOR, "z")
    trusted = query(*strange, depth_registration="trust")
    assert image_depth(trusted, COLOR).camera is None
    assert image_calibration(trusted)[0].camera == COLOR


def test_calibration_of_another_frame_is_refused_with_both_names_and_stamps():
    with pytest.raises(NoDepthError, match=r"'z' \(stamp 7.000\).*'color' \(stamp 5.000\)"):
        image_calibration(query(info=info_of(COLOR, "z")))
    assert "''" in image_calibration(query(info=info_of(COLOR, "")))[1][0]


class TransformBuffer:
    """What a tf2 buffer knows: depth stands 5 cm to the right, if the names are right."""

    def lookup_transform(self, target, source, stamp):
        assert (target, source, stamp.sec) == ("color", "depth", 5)
        moved, straight = SimpleNamespace(x=0.05, y=0.0, z=0.0), SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
        return SimpleNamespace(transform=SimpleNamespace(translation=moved, rotation=straight))


def test_the_pose_between_the_cameras_is_frozen_with_the_image():
    transforms = CameraTransforms(node=None)
    asked = query(depth_message(frame_id="depth"), info_of(OTHER_LENS, "depth"), depth_registration="register")
    asked.frame = replace(asked.frame, stamp=5_000_000_000)
    asked.poses = poses_of(asked, transforms)
    with pytest.raises(NoTransformError, match="depth_pose"):
        asked.poses.depth()
    with pytest.raises(NoDepthError, match="depth_pose"):
        image_depth(asked, COLOR)
    transforms._buffer = TransformBuffer()
    asked.poses = poses_of(asked, transforms)
    transforms._buffer = None
    assert image_depth(asked, COLOR).pose[0, 3] == 0.05
    assert poses_of(asked, transforms, earlier=asked.poses).depth()[0, 3] == 0.05


def test_between_cameras_without_names_there_is_no_transform():
    transforms = CameraTransforms(node=None)
    transforms._buffer = TransformBuffer()
    unnamed = depth_message(frame_id=""), info_of(OTHER_LENS, "")
    asked = query(*unnamed, depth_registration="register")
    asked.poses = poses_of(asked, transforms)
    with pytest.raises(NoDepthError, match=r"frame_id ''.*depth_pose"):
        image_depth(asked, COLOR)
    fixed = query(*unnamed, depth_registration="register", depth_pose=(0.1, 0, 0, 0, 0, 0, 1))
    fixed.poses = poses_of(fixed, transforms)
    assert image_depth(fixed, COLOR).pose[0, 3] == 0.1
