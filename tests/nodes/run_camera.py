"""A camera of 30 Hz and 640x480 with depth, in a process of its own. Its stamps are exact: each loss is a gap."""

import sys
import time
from array import array

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image

RATE, HEIGHT, WIDTH = 30, 480, 640
SECOND = 1_000_000_000


def main():
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("camera")
    sensor = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[100:400, 200:500] = (220, 30, 30)
    depth = np.full((HEIGHT, WIDTH), 1000, np.uint16)
    depth[100:400, 200:500] = 900
    k = [600.0, 0.0, WIDTH / 2, 0.0, 600.0, HEIGHT / 2, 0.0, 0.0, 1.0]
    streams = [
        (node.create_publisher(Image, "image", sensor), image("rgb8", picture)),
        (node.create_publisher(Image, "depth", sensor), image("16UC1", depth)),
        (node.create_publisher(CameraInfo, "camera_info", sensor), CameraInfo(height=HEIGHT, width=WIDTH, k=k)),
    ]
    start, frame = time.time_ns(), 0
    while rclpy.ok():
        frame += 1
        due = start + frame * SECOND // RATE
        time.sleep(max(0, (due - time.time_ns()) / SECOND))
        for publisher, message in streams:
            message.header.frame_id = "camera"
            message.header.stamp.sec, message.header.stamp.nanosec = due // SECOND, due % SECOND
            publisher.publish(message)
    return 0


def image(encoding, pixels):
    data = array("B")
    data.frombytes(pixels.tobytes())
    return Image(height=HEIGHT, width=WIDTH, encoding=encoding, step=pixels.nbytes // HEIGHT, data=data)


if __name__ == "__main__":
    sys.exit(main())
