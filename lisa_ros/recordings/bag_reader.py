"""Reads RGB-D bags, message by message or as synchronised frames, in memory that does not grow with the bag."""

import itertools
import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from rosbags.rosbag2 import Reader

from lisa_ros.errors import ConfigurationError, InvalidImageError, RecordingError
from lisa_ros.recordings import messages
from lisa_ros.recordings.bag_files import check_path
from lisa_ros.recordings.frames import BagMessage, RgbdFrame
from lisa_ros.recordings.poses import PoseFinder
from lisa_ros.recordings.synchronizer import DEPTH_TOLERANCE, PATIENCE, SECOND, Synchronizer
from lisa_ros.recordings.topics import MANIFEST, RgbdTopics, index_of_stamp
from lisa_ros.sensor_messages.depth_registration import REFUSE, RULES

_log = logging.getLogger(__name__)
_SUFFIXES = {"image": ("", "/compressed"), "depth": ("", "/compressedDepth", "/compressed")}
_NEARLY = 0.9  # of the most messages of a stream's topics: raw images go before compressed ones that are a few more
_FIRST = 30  # frames in which depth is looked for
_NEEDED = ("image", "camera_info")
_IMAGES = (messages.IMAGE, messages.COMPRESSED_IMAGE)
_TYPES = {"image": _IMAGES, "depth": _IMAGES, "camera_info": (messages.CAMERA_INFO,),
          "depth_info": (messages.CAMERA_INFO,), "tf": (messages.TF,)}  # fmt: skip


class RgbdBag:
    """An open bag of one RGB-D camera: a folder with metadata.yaml, or one .mcap or .db3 file. A context manager.

    Args:
        path: Of the bag.
        topics: Base names; raw or compressed images are found by themselves, and a topic with more messages goes before
            one with fewer.
        world_frame: In which frames have their poses; "" for the topmost frame that is fixed by its name (REP 105:
            world, map, odom, earth).
        depth_registration: What becomes of depth of another frame or lens than the image's, as the perception node's
            parameter says it. "refuse": an error where it is read; "register": moved into the image's view, with its
            own camera_info and the bag's /tf and /tf_static; "trust": taken as it is, whatever frames depth and
            camera_info name.
        sync_tolerance: Largest difference of stamps, in s, at which depth belongs to an image.

    Attributes:
        manifest: What the converter wrote, or {}.

    Raises:
        RecordingError: For a path that is no bag, is damaged, or lacks the image or camera_info topic.
        ConfigurationError: For another depth_registration.
    """

    def __init__(
        self,
        path: Path | str,
        topics: RgbdTopics | None = None,
        world_frame: str = "",
        depth_registration: str = REFUSE,
        sync_tolerance: float = DEPTH_TOLERANCE / SECOND,
    ):
        if depth_registration not in RULES:
            raise ConfigurationError(f"depth_registration={depth_registration!r} is not one of {', '.join(RULES)}")
        self.path, self.world_frame, self.depth_registration = Path(path), world_frame, depth_registration
        self._told: set[str] = set()
        self._tolerance = round(sync_tolerance * SECOND)
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
        synchronizer = Synchronizer(self.poses(), self._tolerance)
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
        pose, depth_pose, found = parts
        image = found["image"]
        index = index_of_stamp(image.stamp) if self.manifest else None
        matrix, frame = (None, "") if pose is None else (pose.matrix, pose.frame)
        return RgbdFrame(
            count if index is None else index, image.stamp, image.message.header.frame_id, matrix, frame, found,
            self.depth_registration, depth_pose, bool(self.manifest), self._told,
        )  # fmt: skip

    def first(self, role: str) -> BagMessage | None:
        """The first message of a role; None where there is none. Raises RecordingError."""
        connections = [connection for connection in self._connections if self.roles.get(connection.topic) == role]
        return next(self._messages(connections, None, None), None) if connections else None

    def depth_difference(self) -> str:
        """As of the first frame whose depth can be decoded; "" where there is none. Raises RecordingError."""
        for frame in itertools.islice(self.frames(), _FIRST):
            with suppress(InvalidImageError):  # of this frame; who reads it is told
                if "depth" in frame.messages:
                    return frame.depth_difference
        return ""

    def poses(self) -> PoseFinder | None:
        """What gives poses from the bag's transforms, without those of /tf yet; None where the bag has none."""
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
            most = max((counts[name] for name in found), default=0)
            full = [name for name in found if counts[name] >= _NEARLY * most]  # the first of those that are whole
            if full and (most or role != "image"):
                roles[full[0]] = role
            elif full:
                raise RecordingError(
                    f"{self.path} has no message on {' or '.join(full)}, of {sum(counts.values())} in all; image_topic "
                    "names another one"
                )
            elif role in _NEEDED:
                others = [f"{name} is {present[name]}" for name in names if name in present]
                raise RecordingError(
                    f"{self.path} has no topic {' or '.join(names)} of {' or '.join(types)}; it has "
                    f"{', '.join(others or sorted(present)) or 'none'}; {role}_topic names another one"
                )
        if not any(role == "depth" and counts[name] for name, role in roles.items()):
            self._tell_no_depth(topics, counts)
        return roles

    def _tell_no_depth(self, topics: RgbdTopics, counts: Counter) -> None:
        others = sorted(name for name, kind in self.topics.items() if kind in _IMAGES and counts[name])
        others = [name for name in others if "depth" in name.lower()]
        if topics.depth and others:
            _log.warning("%s has no depth on %s: frames have none; depth_topic names another one of %s",
                         self.path, topics.depth, ", ".join(others))  # fmt: skip

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
