"""Node `camera`: streams a simulated tabletop scene as an RGB-D camera would.

Publishes `image`, `depth` (registered, same stamp), `camera_info`, `scene_time` (`sensor_msgs/TimeReference`: header of
the image, time_ref = time of the motion) and, where tf2_msgs is installed, world -> optical frame on /tf. The truth
behind an image is `lisa_ros.simulator.scene_at(seed, time_ref in s, motion, height, width)`; for a static scene that is
`generate_scene(seed, height, width)`. With `depth_noise` the published depth is that of
`noisy_depth(scene.depth, scene.intrinsics, depth_noise, frame_rng(seed, time_ref in s))`.
"""

import sys

import numpy as np
from geometry_msgs.msg import TransformStamped, Vector3
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, TimeReference
from std_msgs.msg import Header

from lisa_ros.errors import ConfigurationError
from lisa_ros.nodes.common.messages import quaternion
from lisa_ros.nodes.common.node_runner import run_node
from lisa_ros.sensor_messages.image_messages import to_data
from lisa_ros.simulator import SceneStream, StreamFrame, frame_rng, noisy_depth
from lisa_ros.simulator.depth_noise import MODELS
from lisa_ros.simulator.scene import MOTIONS

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

_RELIABILITY = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}
# name: (default, meaning, limits: (low, high) of a number or the allowed words)
_PARAMETERS = {
    "seed": (1, "Number of the scene; any number is another scene", (0, 2**62)),
    "width": (640, "Image width in pixels", (16, 4096)),
    "height": (480, "Image height in pixels", (16, 4096)),
    "rate": (30.0, "Images a second", (0.1, 120.0)),
    "motion": ("static", "What moves", MOTIONS),
    "motion_rate": (5.0, "New positions a second of a moving scene; rendering them costs processor time", (0.1, 30.0)),
    "image_encoding": ("rgb8", "Encoding of image", ("rgb8", "bgr8")),
    "depth_encoding": ("16UC1", "Encoding of depth: millimetres or metres", ("16UC1", "32FC1")),
    "depth_noise": ("none", "Faults of the depth image: none (exact) or as of a real sensor", MODELS),
    "frame_id": ("camera_color_optical_frame", "Optical frame of the camera", None),
    "world_frame": ("world", "Parent frame on /tf", None),
    "reliability": ("reliable", "Quality of service of the image topics", tuple(_RELIABILITY)),
}  # fmt: skip


class SimulatedCamera(Node):
    """Publishes the newest rendered frame at a fixed rate, each time with a new stamp."""

    def __init__(self):
        super().__init__("camera")
        value = self._declare()
        self._encodings = value["image_encoding"], value["depth_encoding"]
        self._depth_noise = value["depth_noise"]
        self._frames = value["frame_id"], value["world_frame"]
        self._source = f"seed {value['seed']}, {value['motion']}"
        self._stream = SceneStream(
            value["seed"], value["height"], value["width"], value["motion"], value["motion_rate"]
        )
        quality = QoSProfile(depth=5, reliability=_RELIABILITY[value["reliability"]])
        self._image = self.create_publisher(Image, "image", quality)
        self._depth = self.create_publisher(Image, "depth", quality)
        self._info = self.create_publisher(CameraInfo, "camera_info", quality)
        self._scene_time = self.create_publisher(TimeReference, "scene_time", quality)
        self._tf = self.create_publisher(TFMessage, "/tf", QoSProfile(depth=100)) if TFMessage else None
        if self._tf is None:
            self.get_logger().info("tf2_msgs is not installed: the camera's pose is not published on /tf")
        self._prepared: StreamFrame | None = None
        self._messages: tuple[Image, Image, CameraInfo] | None = None
        self.create_timer(1.0 / value["rate"], self._publish)
        seen = ", ".join(f"{item.colour} {item.category}" for item in self._stream.newest().scene.objects)
        self.get_logger().info(f"streaming scene {self._source} at {value['rate']:g} Hz: {seen}")

    def stop_accepting(self):
        """As `run_node` asks for it; a camera takes no requests."""

    def shutdown(self) -> bool:
        """Stops rendering. Returns whether its thread has ended."""
        return self._stream.stop()

    def _declare(self) -> dict:
        for name, (default, about, limits) in _PARAMETERS.items():
            descriptor = ParameterDescriptor(description=about, read_only=True)
            if isinstance(default, int):
                descriptor.integer_range = [IntegerRange(from_value=limits[0], to_value=limits[1])]
            elif isinstance(default, float):
                descriptor.floating_point_range = [FloatingPointRange(from_value=limits[0], to_value=limits[1])]
            elif limits:
                descriptor.additional_constraints = "one of " + ", ".join(limits)
            value = self.declare_parameter(name, default, descriptor).value
            if isinstance(default, str) and limits and value not in limits:
                raise ConfigurationError(f"{name}={value!r} is not one of {', '.join(limits)}")
        return {name: self.get_parameter(name).value for name in _PARAMETERS}

    def _publish(self):
        frame = self._stream.newest()
        if frame is not self._prepared:
            self._messages, self._prepared = self._prepare(frame), frame
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frames[0])
        for publisher, message in zip((self._image, self._depth, self._info), self._messages, strict=True):
            message.header = header
            publisher.publish(message)
        moment = Time(nanoseconds=round(frame.time * 1e9)).to_msg()
        self._scene_time.publish(TimeReference(header=header, time_ref=moment, source=self._source))
        if self._tf is not None:
            self._tf.publish(TFMessage(transforms=[self._transform(header, frame.scene.camera_pose)]))

    def _prepare(self, frame: StreamFrame) -> tuple[Image, Image, CameraInfo]:
        """Messages of a frame without a header."""
        scene = frame.scene
        height, width = scene.depth.shape
        image_encoding, depth_encoding = self._encodings
        colour = scene.image if image_encoding == "rgb8" else scene.image[..., ::-1]
        depth = noisy_depth(scene.depth, scene.intrinsics, self._depth_noise, frame_rng(scene.seed, frame.time))
        if depth_encoding == "16UC1":
            depth = np.where(depth < 65.535, np.rint(depth * 1000.0), 0).astype(np.uint16)
        k = scene.intrinsics
        return (
            Image(height=height, width=width, encoding=image_encoding, step=3 * width, data=to_data(colour)),
            Image(
                height=height, width=width, encoding=depth_encoding, step=depth.itemsize * width, data=to_data(depth),
                is_bigendian=sys.byteorder == "big",
            ),
            CameraInfo(
                height=height, width=width, distortion_model="plumb_bob", d=[0.0] * 5, k=k.ravel().tolist(),
                r=np.eye(3).ravel().tolist(), p=np.hstack([k, np.zeros((3, 1))]).ravel().tolist(),
            ),
        )  # fmt: skip

    def _transform(self, header: Header, pose: np.ndarray) -> TransformStamped:
        optical_frame, world_frame = self._frames
        message = TransformStamped(child_frame_id=optical_frame)
        message.header = Header(stamp=header.stamp, frame_id=world_frame)
        x, y, z = pose[:3, 3].tolist()
        message.transform.translation = Vector3(x=x, y=y, z=z)
        message.transform.rotation = quaternion(pose[:3, :3])
        return message


def main(args=None) -> int:
    """Runs the node until SIGINT or SIGTERM. Returns the exit status: 0, or 2 for bad parameters."""
    return run_node(SimulatedCamera, args)


if __name__ == "__main__":
    sys.exit(main())
