"""`.sens` to a rosbag2 bag: original colour bytes, lossless depth, stamps from the frame index, TF of good poses."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from lisa_ros.errors import InvalidImageError, RecordingError
from lisa_ros.geometry import CameraModel
from lisa_ros.geometry.registration import register, registered_camera
from lisa_ros.images import decompress
from lisa_ros.progress import track
from lisa_ros.recordings.bag_writer import RgbdBagWriter
from lisa_ros.recordings.topics import OPTICAL_FRAME, START, STEP, WORLD_FRAME, RgbdTopics, stamp_of_index
from lisa_ros.resources import version
from lisa_ros.scannet.sens import SensFrame, SensHeader, SensReader

_JPEG_END = b"\xff\xd9"


def convert(sens: Path | str, bag: Path | str, storage: str = "mcap", progress: bool = False) -> dict:
    """Writes the bag of a `.sens` file and returns its manifest, which lies in the bag as manifest.json.

    storage: "mcap" or "sqlite3". progress: show a bar on stderr. A frame whose colour or depth is damaged is left out
    and listed; a frame without a good pose has no transform and is listed; device stamps are not used, only counted.
    Depth of a camera with other intrinsics than the colour camera's is brought onto the colour image's view.
    Raises RecordingError for a file that is truncated, not calibrated, compressed in an unknown way or without one good
    frame, ConfigurationError for a bag that exists or cannot be written.
    """
    topics = RgbdTopics()
    with SensReader(sens) as reader:
        header = reader.header
        require_convertible(reader)
        imu_frames = reader.check()
        color, source = cameras(header)
        depth = registered_camera(color, source)
        tally = _Tally()
        scene = Path(sens).stem
        custom = {"scene": scene, "written_by": f"lisa_ros {version()}"}
        with RgbdBagWriter(bag, color, depth, storage, topics, custom) as writer:
            for frame in track(reader, total=len(reader), description=scene, unit="frame", active=progress):
                _write(writer, frame, tally, source, depth)
            if not tally.written:
                raise RecordingError(f"{sens} has no frame that can be converted; the first: {tally.first_reason}")
            manifest = _manifest(reader, scene, storage, topics, tally) | {"imu_frames": imu_frames}
            writer.write_manifest(manifest)
    return manifest


def cameras(header: SensHeader) -> tuple[CameraModel, CameraModel]:
    """Intrinsics of the colour and of the depth image. Raises InvalidImageError."""
    return (
        CameraModel.from_matrix(header.color_intrinsic[:3, :3], *header.color_size),
        CameraModel.from_matrix(header.depth_intrinsic[:3, :3], *header.depth_size),
    )


def depth_in_mm(frame: SensFrame) -> np.ndarray:
    """(h, w) uint16 mm, as the encoding 16UC1 means it; 0 = invalid, or too far for it.

    Raises InvalidImageError.
    """
    depth, shift = frame.depth(), frame.header.depth_shift
    if shift == 1000:
        return depth
    millimetres = np.rint(depth * (1000.0 / shift))
    return np.where(millimetres > np.iinfo(np.uint16).max, 0, millimetres).astype(np.uint16)


class _Tally:
    """What became of the frames."""

    def __init__(self):
        self.written = self.posed = self.zero_stamps = self.backward_stamps = 0
        self.bad_poses: dict[str, list[int]] = {"lost": [], "implausible": []}
        self.skipped: list[dict] = []
        self._last_stamp = 0

    @property
    def first_reason(self) -> str:
        return self.skipped[0]["reason"] if self.skipped else "the file has no frames"

    def note_stamp(self, stamp: int):
        self.zero_stamps += stamp == 0
        self.backward_stamps += 0 < stamp < self._last_stamp
        self._last_stamp = max(self._last_stamp, stamp)


def _write(writer: RgbdBagWriter, frame: SensFrame, tally: _Tally, source: CameraModel, wanted: CameraModel):
    tally.note_stamp(frame.color_stamp)
    try:
        check_color(frame)
        depth = register(depth_in_mm(frame), source, wanted)
    except InvalidImageError as error:
        tally.skipped.append({"frame": frame.index, "reason": str(error)})
        return
    if frame.pose_problem:
        tally.bad_poses[frame.pose_problem].append(frame.index)
    else:
        tally.posed += 1
    stamp = stamp_of_index(frame.index)
    writer.add(stamp, frame.color_data, frame.header.color_compression, depth, frame.rigid_pose)
    tally.written += 1


def require_convertible(reader: SensReader):
    """Raises RecordingError for a file that is not calibrated, or compressed in a way that cannot be converted."""
    header = reader.header
    if not header.is_aligned:
        raise RecordingError(
            f"{reader.path}: the extrinsics are not identity, so depth does not lie on colour; only calibrated files "
            "can be converted (ScanNet's released .sens files are)"
        )
    if header.color_compression not in ("jpeg", "png"):
        raise RecordingError(f"{reader.path}: colour is {header.color_compression!r}; only jpeg and png are converted")
    if header.depth_compression not in ("zlib", "raw"):
        raise RecordingError(
            f"{reader.path}: depth is {header.depth_compression!r}, whose codec is not public; export it as zlib"
        )


def check_color(frame: SensFrame):
    """Raises InvalidImageError for what is not a whole file of the header's kind and size, or cannot be decoded.

    A JPEG is decoded at an eighth of its size, which takes a fifth of the time and fails where decoding it would.
    """
    kind, data = frame.header.color_compression, frame.color_data
    try:
        with Image.open(BytesIO(data), formats=[kind.upper()]) as image:
            size = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        why = "" if isinstance(error, UnidentifiedImageError) else f": {error}"  # which names an object in memory
        raise InvalidImageError(f"colour of {len(data)} bytes is no {kind}{why}") from error
    if size != frame.header.color_size:
        raise InvalidImageError(f"colour is {size[0]}x{size[1]}, not {'x'.join(map(str, frame.header.color_size))}")
    if kind == "jpeg" and not data.rstrip(b"\0").endswith(_JPEG_END):
        raise InvalidImageError(f"colour of {len(data)} bytes is a JPEG without an end")
    decompress(data, cv2.IMREAD_REDUCED_COLOR_8, f"colour of frame {frame.index}")


def _manifest(reader: SensReader, scene: str, storage: str, topics: RgbdTopics, tally: _Tally) -> dict:
    header = reader.header
    color, source = cameras(header)
    depth = registered_camera(color, source)
    registered = {"registered_from": _camera(source)} if depth != source else {}
    return {
        "format": "lisa_ros RGB-D bag",
        "format_version": 1,
        "written_by": f"lisa_ros {version()}",
        "scene": scene,
        "source": reader.path.name,
        "sensor": header.sensor,
        "storage": storage,
        "frames": len(reader),
        "written": tally.written,
        "skipped": tally.skipped,
        "stamps": {"rule": "stamp = start_ns + frame * step_ns", "start_ns": START, "step_ns": STEP},
        "device_stamps": {"zero": tally.zero_stamps, "backwards": tally.backward_stamps},
        "poses": {
            "written": tally.posed,
            "lost": tally.bad_poses["lost"],
            "implausible": tally.bad_poses["implausible"],
        },
        "frame_id": OPTICAL_FRAME,
        "world_frame": WORLD_FRAME,
        "color": {"topic": topics.image, "compression": header.color_compression} | _camera(color),
        "depth": {"topic": topics.depth, "unit": "mm", "source_shift": header.depth_shift}
        | _camera(depth)
        | registered,
    }


def _camera(camera: CameraModel) -> dict:
    return {"width": camera.width, "height": camera.height, "k": camera.matrix.ravel().tolist()}
