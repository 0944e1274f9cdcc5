"""The messages of RGB-D bags, made and read without a ROS install, by `rosbags`' own message types."""

import struct
from functools import lru_cache

import cv2
import numpy as np
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from lisa_ros.errors import NoTransformError, RecordingError
from lisa_ros.geometry import CameraModel
from lisa_ros.geometry.poses import pose_matrix, quaternion_of
from lisa_ros.sensor_messages.depth_registration import plain_frame

COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
IMAGE = "sensor_msgs/msg/Image"
TF = "tf2_msgs/msg/TFMessage"
# The data decode to BGR, as OpenCV does it; the camera meant RGB. The format of today's image_transport.
COLOR_FORMATS = {"jpeg": "rgb8; jpeg compressed bgr8", "png": "rgb8; png compressed bgr8"}
DEPTH_FORMAT = "16UC1; compressedDepth png"
# compressed_depth_image_transport's ConfigHeader: format, and the quantisation that 16UC1 does not have
_DEPTH_HEADER = struct.pack("<iff", 0, 0.0, 0.0)


@lru_cache(maxsize=1)
def typestore():
    """Message types of ROS 2. Those used here are equal from Humble to Lyrical, hash included; a test compares them."""
    return get_typestore(Stores.ROS2_KILTED)


def compressed_color(data: bytes, kind: str, stamp: int, frame_id: str):
    """CompressedImage of the bytes of a "jpeg" or "png" file, unchanged. stamp: ns."""
    return _type(COMPRESSED_IMAGE)(_header(stamp, frame_id), COLOR_FORMATS[kind], np.frombuffer(data, np.uint8))


def compressed_depth(depth: np.ndarray, stamp: int, frame_id: str):
    """CompressedImage of (h, w) uint16 mm, lossless, as the transport compressedDepth has it."""
    png = cv2.imencode(".png", depth)[1]
    data = np.concatenate([np.frombuffer(_DEPTH_HEADER, np.uint8), png.ravel()])
    return _type(COMPRESSED_IMAGE)(_header(stamp, frame_id), DEPTH_FORMAT, data)


def depth_image(depth: np.ndarray, stamp: int, frame_id: str):
    """Image of (h, w) float32 m."""
    data = np.frombuffer(np.ascontiguousarray(depth, "<f4").tobytes(), np.uint8)
    return _type(IMAGE)(_header(stamp, frame_id), *depth.shape, "32FC1", 0, 4 * depth.shape[1], data)


def camera_info(camera: CameraModel, stamp: int, frame_id: str):
    """CameraInfo of an undistorted image."""
    region = _type("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False)
    k = camera.matrix
    p = np.hstack([k, np.zeros((3, 1))])
    return _type(CAMERA_INFO)(
        header=_header(stamp, frame_id), height=camera.height, width=camera.width, distortion_model="plumb_bob",
        d=np.zeros(5), k=k.ravel(), r=np.eye(3).ravel(), p=p.ravel(), binning_x=0, binning_y=0, roi=region,
    )  # fmt: skip


def transform(pose: np.ndarray, stamp: int, parent: str, child: str):
    """TFMessage with one transform; pose: (4, 4), parent <- child."""
    vector = _type("geometry_msgs/msg/Vector3")(*(float(value) for value in pose[:3, 3]))
    quaternion = _type("geometry_msgs/msg/Quaternion")(*quaternion_of(pose[:3, :3]))
    moved = _type("geometry_msgs/msg/Transform")(vector, quaternion)
    return _type(TF)([_type("geometry_msgs/msg/TransformStamped")(_header(stamp, parent), child, moved)])


def parse(data: bytes, kind: str):
    """The message of a type whose CDR bytes these are. Raises RecordingError for what is not one."""
    try:
        return typestore().deserialize_cdr(data, kind)
    except (SerdeError, struct.error, ValueError, IndexError, KeyError, AssertionError, MemoryError) as error:
        raise RecordingError(f"{len(data)} bytes are not a whole {kind}: {error!r}") from error


def pack(message, kind: str) -> bytes:
    """The CDR bytes of a message of a type."""
    return bytes(typestore().serialize_cdr(message, kind))


def transforms_of(message) -> list[tuple[tuple[str, str], int, np.ndarray | None]]:
    """((child, parent), stamp in ns, (4, 4) parent <- child) of each of a TFMessage's transforms.

    A pose is None where it is none: zeros and NaN are how some recorders say that tracking was lost.
    """
    return [
        ((plain_frame(item.child_frame_id), plain_frame(item.header.frame_id)), stamp_of(item), _pose(item.transform))
        for item in message.transforms
    ]


def _pose(transform) -> np.ndarray | None:
    t, q = transform.translation, transform.rotation
    try:
        pose = pose_matrix((t.x, t.y, t.z, q.x, q.y, q.z, q.w))
    except NoTransformError:
        return None
    return pose if np.isfinite(pose).all() else None


def stamp_of(message) -> int:
    """header.stamp in ns."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def _header(stamp: int, frame_id: str):
    time = _type("builtin_interfaces/msg/Time")(*divmod(stamp, 1_000_000_000))
    return _type("std_msgs/msg/Header")(time, frame_id)


def _type(name: str):
    return typestore().types[name]
