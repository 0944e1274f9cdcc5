"""An RGB-D camera in a process of its own, for idle.py and load.py: one picture again and again, with exact stamps.

    python benchmarks/plain_camera.py --rate 30 --size 1280x720 --ros-args -r __ns:=/camera

Grey, with a red and a blue square that stand 10 cm before a wall.
"""

import argparse
import sys
import time

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CameraInfo, Image

from lisa_ros.sensor_messages.image_messages import to_data

SECOND = 1_000_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=30.0, help="images per second (default: %(default)s)")
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT (default: %(default)s)")
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])
    width, height = map(int, args.size.split("x"))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # SIGINT and SIGTERM end it at once
    node = Node("camera")
    quality = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    messages = pictures(width, height)
    streams = [(node.create_publisher(type(one), name, quality), one) for name, one in messages.items()]
    started, count = time.time_ns(), 0
    while rclpy.ok():
        count += 1
        due = started + round(count * SECOND / args.rate)
        time.sleep(max(0, (due - time.time_ns()) / SECOND))
        for publisher, message in streams:
            message.header.frame_id = "camera"
            message.header.stamp.sec, message.header.stamp.nanosec = due // SECOND, due % SECOND
            publisher.publish(message)
    return 0


def pictures(width: int, height: int) -> dict[str, Image | CameraInfo]:
    """Messages by topic, without stamps."""
    colour, depth = np.full((height, width, 3), 90, np.uint8), np.full((height, width), 1000, np.uint16)
    for left, tint in ((1, (220, 30, 30)), (5, (30, 30, 220))):
        square = np.s_[height // 4 : 3 * height // 4, left * width // 8 : (left + 2) * width // 8]
        colour[square], depth[square] = tint, 900
    k = [0.9 * width, 0.0, width / 2, 0.0, 0.9 * width, height / 2, 0.0, 0.0, 1.0]
    return {
        "depth": Image(height=height, width=width, encoding="16UC1", step=2 * width, data=to_data(depth)),
        "camera_info": CameraInfo(height=height, width=width, k=k),
        "image": Image(height=height, width=width, encoding="rgb8", step=3 * width, data=to_data(colour)),
    }


if __name__ == "__main__":
    sys.exit(main())
