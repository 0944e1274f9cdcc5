"""Writes RGB-D bags that `ros2 bag play` plays from Humble on, with one frame in memory at a time."""

import json
import tempfile
from pathlib import Path

import numpy as np
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError

from lisa_ros.errors import ConfigurationError
from lisa_ros.geometry import CameraModel
from lisa_ros.recordings import messages
from lisa_ros.recordings.topics import MANIFEST, OPTICAL_FRAME, WORLD_FRAME, RgbdTopics

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
# Humble reads the qualities of service of a topic as one string; version 9 (Jazzy) made a list of them, which Humble
# refuses. Iron to Kilted read 8 as well.
_METADATA_VERSION = 8
_FOREVER = QosTime(9223372036, 854775807)


class RgbdBagWriter:
    """A new bag of one camera whose depth lies on its colour image; a context manager.

    The folder appears under its name when the bag is whole; an error inside the `with` leaves nothing.
    color, depth: intrinsics of the two images. custom: words for metadata.yaml's custom_data.
    Raises ConfigurationError for a path that exists or cannot be written.
    """

    def __init__(
        self,
        path: Path | str,
        color: CameraModel,
        depth: CameraModel,
        storage: str = "mcap",
        topics: RgbdTopics | None = None,
        custom: dict[str, str] | None = None,
    ):
        self.path = Path(path)
        self._cameras, self._topics = (color, depth), topics or RgbdTopics()
        if storage not in STORAGES:
            raise ConfigurationError(f"storage={storage!r}: choose one of {', '.join(STORAGES)}")
        if self.path.exists():
            raise ConfigurationError(f"{self.path} exists already; remove it, or give another name")
        try:
            self._work = tempfile.TemporaryDirectory(prefix=f".{self.path.name}-", dir=self.path.absolute().parent)
        except OSError as error:
            raise ConfigurationError(f"cannot write {self.path}: {error.strerror}") from error
        self._writer = Writer(
            Path(self._work.name) / self.path.name, version=_METADATA_VERSION, storage_plugin=STORAGES[storage]
        )
        # An empty custom_data would be written as null, where Iron and newer want a map.
        for key, value in {"written_by": "lisa_ros", **(custom or {})}.items():
            self._writer.set_custom_data(key, value)
        self._writer.open()
        self._connections = {role: self._connect(*named) for role, named in self._named().items()}

    def __enter__(self) -> "RgbdBagWriter":
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.close()
            else:
                self._writer.abort()
        finally:
            self._work.cleanup()

    def add(self, stamp: int, color: bytes, kind: str, depth: np.ndarray, pose: np.ndarray | None = None):
        """Appends the messages of one frame, all with the same stamp (ns).

        color: bytes of a file of a kind "jpeg" or "png", kept as they are. depth: (h, w) uint16 mm. pose: (4, 4)
        world <- optical frame, None where it is not known: then there is no transform.
        The image comes last: who has it, has what belongs to it.
        """
        if pose is not None:
            self._write("tf", stamp, messages.transform(pose, stamp, WORLD_FRAME, OPTICAL_FRAME))
        for role, camera in zip(("camera_info", "depth_info"), self._cameras, strict=True):
            self._write(role, stamp, messages.camera_info(camera, stamp, OPTICAL_FRAME))
        self._write("depth", stamp, messages.compressed_depth(depth, stamp, OPTICAL_FRAME))
        self._write("image", stamp, messages.compressed_color(color, kind, stamp, OPTICAL_FRAME))

    def write_manifest(self, manifest: dict):
        """Puts manifest.json beside the bag's files."""
        text = json.dumps(manifest, indent=2) + "\n"
        (self._writer.path / MANIFEST).write_text(text, encoding="utf-8")

    def close(self):
        """Completes the bag and gives it its name."""
        try:
            self._writer.close()
            self._writer.path.rename(self.path)
        except (OSError, WriterError) as error:
            raise ConfigurationError(f"cannot write {self.path}: {error}") from error

    def _named(self) -> dict[str, tuple[str, str, int]]:
        topics = self._topics
        return {
            "tf": (topics.tf, messages.TF, 100),
            "camera_info": (topics.camera_info, messages.CAMERA_INFO, 10),
            "depth_info": (topics.depth_info, messages.CAMERA_INFO, 10),
            "depth": (f"{topics.depth}/compressedDepth", messages.COMPRESSED_IMAGE, 10),
            "image": (f"{topics.image}/compressed", messages.COMPRESSED_IMAGE, 10),
        }

    def _connect(self, topic: str, kind: str, depth: int):
        quality = Qos(
            QosHistory.KEEP_LAST, depth, QosReliability.RELIABLE, QosDurability.VOLATILE, _FOREVER, _FOREVER,
            QosLiveliness.AUTOMATIC, _FOREVER, False,
        )  # fmt: skip
        return self._writer.add_connection(topic, kind, typestore=messages.typestore(), offered_qos_profiles=[quality])

    def _write(self, role: str, stamp: int, message):
        connection = self._connections[role]
        self._writer.write(connection, stamp, messages.typestore().serialize_cdr(message, connection.msgtype))
