"""Bags as camera drivers fill them, for tests."""

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from lisa_ros.geometry import CameraModel
from lisa_ros.recordings import messages

CAMERA = CameraModel(8, 6, 7.0, 7.5, 3.5, 2.5)
MS = 1_000_000
IMAGE, DEPTH, INFO = "/camera/color/image_raw", "/camera/depth/image_raw", "/camera/color/camera_info"


def depth(value=1000):
    return np.full((6, 8), value, np.uint16)


def pose(x):
    matrix = np.eye(4)
    matrix[0, 3] = x
    return matrix


def written(rgb):
    """Bytes of a PNG."""
    return cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()


class Loose:
    """A bag of a camera driver: raw images, everything with stamps and times of its own."""

    def __init__(self, path, *topics):
        self.path = path
        self._due = []
        self._types = messages.typestore()
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections = {
            topic: self._writer.add_connection(topic, kind, typestore=self._types) for topic, kind in topics
        }

    def add(self, topic, time, message):
        connection = self._connections[topic]
        self._writer.write(connection, time, self._types.serialize_cdr(message, connection.msgtype))

    def image(self, topic, time, stamp, pixels, encoding, frame_id="eye"):
        header = messages.camera_info(CAMERA, stamp, frame_id).header
        kind = self._types.types[messages.IMAGE]
        data = np.frombuffer(np.ascontiguousarray(pixels).tobytes(), np.uint8)
        self.add(topic, time, kind(header, *pixels.shape[:2], encoding, 0, len(data) // len(pixels), data))

    def later(self, time, write):
        """Something to be written when its time has come, whatever the order of the calls."""
        self._due.append((time, len(self._due), write))

    def close(self):
        for _, _, write in sorted(self._due, key=lambda item: item[:2]):
            write()
        self._writer.close()
