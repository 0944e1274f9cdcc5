"""Reads RGB-D bags, message by message or as synchronised frames, in memory that does not grow with the bag."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import Reader

from lisa_ros.errors import InvalidImageError, RecordingError
from lisa_ros.geometry import CameraModel
from lisa_ros.image_messages import camera_model, image_size, to_depth, to_rgb
from lisa_ros.recordings import messages
from lisa_ros.recordings.bag_files import check_path
from lisa_ros.recordings.poses import PoseFinder
from lisa_ros.recordings.synchronizer import PATIENCE, Synchronizer
from lisa_ros.recordings.topics import MANIFEST, RgbdTopics, index_of_stamp

_SUFFIXES = {"image": ("", "/compressed"), "depth": ("", "/compressedDepth")}
_NEEDED = ("image", "camera_info")
_IMAGES = (messages.IMAGE, messages.COMPRESSED_IMAGE)
_TYPES = {"image": _IMAGES, "depth": _IMAGES, "camera_info": (messages.CAMERA_INFO,),
          "depth_info": (messages.CAMERA_INFO,), "tf": (messages.TF,)}  # fmt: skip


@dataclass(frozen=True)
class BagMessage:
    """One message as it lies in the bag. time: ns, when it was recorded. data: CDR bytes."""

    topic: str
    type: str
    time: int
    data: bytes

    @cached_property
    def message(self) -> Any:
        """The message by its fields. Raises RecordingError."""
        try:
            return messages.parse(self.data, self.type)
        except RecordingError as error:
            raise RecordingError(f"{self.topic} at {self.time} ns: {error}") from error

    @cached_property
    def stamp(self) -> int:
        """header.stamp in ns."""
        return messages.stamp_of(self.message)


@dataclass(frozen=True, eq=False)
class RgbdFrame:
    """One moment of the camera; pictures are decoded when they are asked for.

    index: the frame of the recording, read off the stamp where the bag follows the rule of `topics`, counted otherwise.
    stamp: ns, of the image. frame_id: the camera's optical frame. pose: (4, 4) float64 world <- optical frame at the
    stamp, None where the bag has none. pose_frame: which frame that world is, "" without a pose. messages: role ("tf",
    "camera_info", "depth_info", "depth", "image") -> message. trust_frames: as of RgbdBag.
    """

    index: int
    stamp: int
    frame_id: str
    pose: np.ndarray | None
    pose_frame: str
    messages: dict[str, BagMessage]
    trust_frames: bool = False

    def color(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB, to the pixel what the perception node decodes. Raises InvalidImageError."""
        return to_rgb(self.messages["image"].message)

    def depth(self) -> np.ndarray | None:
        """(h, w) float32 m, 0 = invalid; None where no depth belongs to the image.

        Raises InvalidImageError, also for depth of another frame than the image's: it does not lie on it.
        """
        if "depth" not in self.messages:
            return None
        self._check_frame("depth", "register it to the colour image in the driver")
        return to_depth(self.messages["depth"].message)

    @property
    def camera(self) -> CameraModel:
        """Intrinsics of the rectified colour image.

        Raises InvalidImageError where there are none, unusable ones, or those of another frame.
        """
        if "camera_info" not in self.messages:
            raise InvalidImageError(f"the bag has no camera_info near the image at {self.stamp} ns")
        self._check_frame("camera_info", "name the image's own calibration (camera_info_topic)")
        return camera_model(self.messages["camera_info"].message, image_size(self.messages["image"].message))

    def _check_frame(self, role: str, remedy: str) -> None:
        """A frame without a name says nothing; some drivers leave it out."""
        message = self.messages[role]
        found, wanted = (messages.plain_frame(name) for name in (message.message.header.frame_id, self.frame_id))
        if found and wanted and found != wanted and not self.trust_frames:
            raise InvalidImageError(
                f"{message.topic} is of the frame {found}, the image of {wanted}: {remedy}, or, where only the "
                "driver's names differ, open the bag with trust_frames"
            )


class RgbdBag:
    """An open bag of one RGB-D camera: a folder with metadata.yaml, or one .mcap or .db3 file. A context manager.

    topics: base names; raw or compressed images are found by themselves, and one with messages goes before one without.
    world_frame: in which frames have their poses; "" for the topmost frame that is fixed by its name (REP 105: world,
    map, odom, earth). trust_frames: depth and calibration belong to the image whatever frame they name. manifest: what
    the converter wrote, or {}.
    Raises RecordingError for a path that is no bag, is damaged, or lacks the image or camera_info topic.
    """

    def __init__(
        self, path: Path | str, topics: RgbdTopics | None = None, world_frame: str = "", trust_frames: bool = False
    ):
        self.path, self.world_frame, self.trust_frames = Path(path), world_frame, trust_frames
        check_path(self.path)
        with _told(f"{self.path} is not a whole bag", "`ros2 bag reindex` or `mcap recover` repair what was cut off"):
            self._reader = Reader(self.path)
            self._reader.open()
        try:
            self._connections = list(self._reader.connections)
            self._static = f"{(topics or RgbdTopics()).tf}_static"
            self.roles = self._find(topics or RgbdTopics())
            self.manifest = self._read_manifest()
        except BaseException:
            self._reader.close()
            raise

    def __enter__(self) -> "RgbdBag":
        return self

    def __exit__(self, *_):
        self.close()

    def __len__(self) -> int:
        """How many images there are."""
        return sum(c.msgcount for c in self._connections if self.roles.get(c.topic) == "image")

    @property
    def span(self) -> tuple[int, int]:
        """Times (ns) of the first and the last message."""
        return self._reader.start_time, self._reader.end_time - 1

    @property
    def topics(self) -> dict[str, str]:
        """All topics of the bag and their types."""
        return {connection.topic: connection.msgtype for connection in self._connections}

    @property
    def qualities(self) -> dict[str, list]:
        """Topic -> the qualities of service (`rosbags.interfaces.Qos`) under which it was recorded."""
        return {connection.topic: connection.ext.offered_qos_profiles for connection in self._connections}

    def close(self):
        """Closes the bag's files."""
        self._reader.close()

    def messages(self, start: int | None = None, stop: int | None = None) -> Iterator[BagMessage]:
        """Every message with start <= time < stop (ns), in the order of time. Raises RecordingError."""
        return self._messages(self._connections, start, stop)

    def frames(self, start: int | None = None, stop: int | None = None) -> Iterator[RgbdFrame]:
        """The frames whose image was recorded in start <= time < stop (ns), in the order of their stamps.

        Raises RecordingError.
        """
        wanted = [connection for connection in self._connections if connection.topic in self.roles]
        synchronizer = Synchronizer(self._poses())
        first, last = (time if time is None else time + more for time, more in ((start, -PATIENCE), (stop, PATIENCE)))
        count = 0
        for message in self._messages(wanted, first, last):
            role = self.roles[message.topic]
            outside = (start is not None and message.time < start) or (stop is not None and message.time >= stop)
            if role == "image" and outside:  # what belongs to the others may have been recorded there
                continue
            for parts in synchronizer.add(role, message):
                yield self._frame(parts, count)
                count += 1
        for parts in synchronizer.rest():
            yield self._frame(parts, count)
            count += 1

    def _frame(self, parts, count: int) -> RgbdFrame:
        pose, found = parts
        image = found["image"]
        index = index_of_stamp(image.stamp) if self.manifest else None
        matrix, frame = (None, "") if pose is None else (pose.matrix, pose.frame)
        number = count if index is None else index
        name = image.message.header.frame_id
        return RgbdFrame(number, image.stamp, name, matrix, frame, found, self.trust_frames)

    def _poses(self) -> PoseFinder | None:
        moving, fixed = self._transforms
        if not moving and not fixed:
            return None
        # A frame of our own without a transform has lost its pose: between two others it is not known.
        return PoseFinder(moving, fixed, self.world_frame, interpolate=not self.manifest)

    @cached_property
    def _transforms(self) -> tuple[set, dict]:
        """Every edge (child, parent) of the bag's /tf, and the (4, 4) of each of /tf_static.

        Which frames are above the camera shows at the end of a bag for certain, when a robot has found its place.
        """
        moving, fixed = set(), {}
        for connection in self._connections:
            is_moving, is_fixed = self.roles.get(connection.topic) == "tf", connection.topic == self._static
            if not connection.msgcount or connection.msgtype != messages.TF or not (is_moving or is_fixed):
                continue
            for message in self._messages([connection], None, None):
                for edge, _, pose in messages.transforms_of(message.message):
                    if is_moving:
                        moving.add(edge)
                    elif pose is not None:
                        fixed[edge] = pose
        return moving, fixed

    def _messages(self, connections, start, stop) -> Iterator[BagMessage]:
        with _told(f"{self.path} is damaged", "copy or convert it again"):
            for connection, time, data in self._reader.messages(connections, start, stop):
                yield BagMessage(connection.topic, connection.msgtype, time, bytes(data))

    def _find(self, topics: RgbdTopics) -> dict[str, str]:
        """Topic -> role of those that the bag has."""
        counts: Counter[str] = Counter()
        for connection in self._connections:
            counts[connection.topic] += connection.msgcount
        present, roles = self.topics, {}
        for role, types in _TYPES.items():
            base = getattr(topics, role)
            names = [base + suffix for suffix in _SUFFIXES.get(role, ("",))] if base else []
            found = [name for name in names if present.get(name) in types]
            if found:
                roles[max(found, key=lambda name: counts[name] > 0)] = role  # of equal ones the first
            elif role in _NEEDED:
                others = [f"{name} is {present[name]}" for name in names if name in present]
                raise RecordingError(
                    f"{self.path} has no topic {' or '.join(names)} of {' or '.join(types)}; it has "
                    f"{', '.join(others or sorted(present)) or 'none'}; {role}_topic names another one"
                )
        return roles

    def _read_manifest(self) -> dict:
        path = self.path / MANIFEST
        if not path.is_file():
            return {}
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RecordingError(f"{path} is not JSON: {error}; convert the recording again") from error
        if not isinstance(manifest, dict):
            raise RecordingError(f"{path} holds {str(manifest)[:40]!r}, not a manifest; convert the recording again")
        return manifest


@contextmanager
def _told(what: str, remedy: str) -> Iterator[None]:
    """Makes every error of reading a RecordingError."""
    try:
        yield
    except Exception as error:  # rosbags passes on what sqlite, zstd, lz4, yaml and struct raise
        raise RecordingError(f"{what}: {error}; {remedy}") from error
