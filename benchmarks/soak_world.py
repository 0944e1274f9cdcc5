"""The world of soak.py: the node as a process, and a camera and a clock that misbehave when they are told to."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from lisa_ros.sensor_messages.image_messages import to_data
from lisa_ros.simulator import generate_scene

SIZES = ((480, 640), (720, 1280), (360, 640))
SECOND = 1_000_000_000
_SEED = 7
_POSE = "[0.0,0.0,1.0,-0.7071068,0.0,0.0,0.7071068]"  # of the camera in target_frame


class NodeUnderTest:
    """The perception node as a process of its own."""

    def __init__(self, log: Path):
        self._log = log

    def __enter__(self) -> "NodeUnderTest":
        parameters = {"use_sim_time": "true", "cloud_timeout": "3.0", "camera_pose": _POSE}
        command = [sys.executable, "-m", "lisa_ros.nodes.perception", "--ros-args", "-r", "__ns:=/soak"]
        command += [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        with self._log.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.exit_status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def helpers(self) -> list[int]:
        """Process ids of its children."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]

    def memory_mb(self) -> float:
        """Resident memory of the node alone."""
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class FaultyCamera:
    """Streams a simulated tabletop at 15 Hz and publishes /clock at 50 Hz."""

    def __init__(self, ros: Node, chance: random.Random):
        self.chance = chance
        sensor = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        kinds = {"image": Image, "depth": Image, "camera_info": CameraInfo}
        self.publishers = {name: ros.create_publisher(kind, name, sensor) for name, kind in kinds.items()}
        self.clock = ros.create_publisher(Clock, "/clock", 10)
        self.scene = generate_scene(_SEED, *SIZES[0])
        self.frames = {size: render(_SEED, *size) for size in SIZES}
        self.offset = 0  # ns of the simulated clock against the computer's
        self.heal()
        ros.create_timer(1 / 15, self._show)
        ros.create_timer(0.02, self._tick)

    def heal(self):
        """As a good camera."""
        self.size, self.encoding, self.with_depth, self.silent_until = SIZES[0], "rgb8", True, 0.0

    def stop(self):
        """No images for a while."""
        self.silent_until = time.monotonic() + self.chance.uniform(0.5, 4.0)

    def change_size(self):
        """Another size, with its own calibration."""
        self.size = self.chance.choice(SIZES)

    def change_encoding(self):
        """Another encoding, also one that there is not."""
        self.encoding = self.chance.choice(("rgb8", "bgr8", "rgba8", "mono8", "nonsense"))

    def lose_depth(self):
        """No depth, or depth again."""
        self.with_depth = not self.with_depth

    def jump(self):
        """Another time, backward or forward."""
        self.offset += round(self.chance.choice((-20.0, -3.0, 5.0, 60.0)) * SECOND)

    def _now(self) -> int:
        return time.time_ns() + self.offset

    def _tick(self):
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(self._now(), SECOND)
        self.clock.publish(message)

    def _show(self):
        if time.monotonic() < self.silent_until:
            return
        image, depth, k = self.frames[self.size]
        other = {"bgr8": image[..., ::-1], "rgba8": np.dstack([image, image[..., :1]]), "mono8": image[..., 1]}
        pixels = np.ascontiguousarray(other.get(self.encoding, image))
        height, width = depth.shape
        row = pixels.size // height
        messages = {
            "depth": Image(height=height, width=width, encoding="16UC1", step=2 * width, data=to_data(depth)),
            "camera_info": CameraInfo(height=height, width=width, k=k),
            "image": Image(height=height, width=width, encoding=self.encoding, step=row, data=to_data(pixels)),
        }
        stamp = divmod(self._now(), SECOND)
        for name, message in messages.items():
            if name != "depth" or self.with_depth:
                message.header.stamp.sec, message.header.stamp.nanosec = stamp
                message.header.frame_id = "camera"
                self.publishers[name].publish(message)


def render(seed: int, height: int, width: int) -> tuple:
    """Image (H, W, 3) uint8 RGB, depth (H, W) uint16 mm, K as nine numbers, of a simulated tabletop."""
    scene = generate_scene(seed, height, width)
    return scene.image, np.rint(scene.depth * 1000).astype(np.uint16), scene.intrinsics.ravel().tolist()
