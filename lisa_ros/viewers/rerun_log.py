"""Messages of a camera and of the perception node -> entities of a Rerun recording, all of them on one timeline."""

from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import rerun as rr
import rerun.blueprint as rrb

from lisa_ros.client.conversion import nanoseconds, read_cloud, read_result
from lisa_ros.client.results import PerceptionResult, QueryStatus
from lisa_ros.errors import LisaError
from lisa_ros.geometry.poses import quaternion_of
from lisa_ros.sensor_messages.camera_info import camera_model
from lisa_ros.sensor_messages.image_messages import decode_color, to_depth
from lisa_ros.types import SEGMENTED
from lisa_ros.viewers.answer_text import answer_markdown
from lisa_ros.visualization import PALETTE

TIMELINE = "ros_time"
_APPLICATION = "lisa_ros"
_KEPT = 60  # images that an answer may still be about
_JPEG = 85  # quality; an image of 720p takes 0.1 MB in place of 2.8
_POINT = 0.001  # m, radius
_OPTICAL = ("_optical", "_optical_frame")  # frames with z forward and y down; all others of a robot have z up
_PLANE = "image plane"
_APPROACH = 0.12  # m, of the drawn grasp


class RerunLog:
    """Logs messages; whatever cannot be shown is counted, and told in the recording's own log.

    Everything of an answer stands at the stamp of the image that it is about.

    Attributes:
        counts: Messages that were logged, by role.
        failures: What could not be logged: its reason -> how often.
    """

    def __init__(self, path: Path | None = None, url: str | None = None) -> None:
        """A new recording.

        Args:
            path: File to write (.rrd); None for none.
            url: Of a running viewer, "rerun+http://127.0.0.1:9876/proxy"; None for none.
        """
        sinks = [rr.FileSink(str(path))] if path else []
        sinks += [rr.GrpcSink(url)] if url else []
        self._stream = rr.RecordingStream(_APPLICATION)
        self._stream.set_log_time_enabled(False)  # one timeline alone: that of ROS
        self._stream.set_log_tick_enabled(False)
        self._stream.set_sinks(*sinks, default_blueprint=_blueprint(""))
        self._images: OrderedDict[int, object] = OrderedDict()
        self._frame = ""
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        colours = [(number + 1, "", colour) for number, colour in enumerate(PALETTE)]
        self._stream.log("answer", rr.AnnotationContext([(0, "", (0, 0, 0, 0)), *colours]), static=True)

    def add(self, role: str, message, time: int) -> None:
        """Logs a message. role: see `Stream`. time: ns, when it was received; for messages without a stamp."""
        try:
            getattr(self, f"_add_{role}")(message, time)
            self.counts[role] += 1
        except (LisaError, ValueError) as error:
            self.failures[f"{role}: {error}"] += 1
            self._at(time)
            self._stream.log("log", rr.TextLog(f"{role} cannot be shown: {error}", level=rr.TextLogLevel.WARN))

    def close(self) -> None:
        """Everything is written, or sent."""
        self._stream.flush()
        self._stream.disconnect()

    def _at(self, stamp: int) -> None:
        self._stream.set_time(TIMELINE, timestamp=np.datetime64(stamp, "ns"))

    def _begin(self, header, time: int) -> int:
        stamp = nanoseconds(header.stamp) or time
        self._at(stamp)
        return stamp

    def _add_image(self, message, time: int) -> None:
        stamp = self._begin(message.header, time)
        self._stream.log("camera/image", *self._picture(message, on_plane=True))
        self._images[stamp] = message
        if len(self._images) > _KEPT:
            self._images.popitem(last=False)

    def _picture(self, message, on_plane: bool = False) -> tuple:
        image = rr.Image(decode_color(message)[0]).compress(jpeg_quality=_JPEG)
        return (image, rr.CoordinateFrame(_PLANE)) if on_plane else (image,)

    def _add_depth(self, message, time: int) -> None:
        self._begin(message.header, time)
        self._stream.log("depth", rr.DepthImage(to_depth(message), meter=1.0))

    def _add_camera_info(self, message, time: int) -> None:
        self._begin(message.header, time)
        camera = camera_model(message)
        matrix = [[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]]
        size = [message.width, message.height]
        frames = {"parent_frame": message.header.frame_id, "child_frame": _PLANE} if message.header.frame_id else {}
        pinhole = rr.Pinhole(image_from_camera=matrix, resolution=size, image_plane_distance=0.3, **frames)
        self._stream.log("camera", pinhole)

    def _add_transforms(self, message, time: int) -> None:
        for one in message.transforms:
            self._begin(one.header, time)
            move, turn = one.transform.translation, one.transform.rotation
            edge = f"{one.header.frame_id} to {one.child_frame_id}"
            transform = rr.Transform3D(
                translation=[move.x, move.y, move.z],
                quaternion=[turn.x, turn.y, turn.z, turn.w],
                parent_frame=one.header.frame_id,
                child_frame=one.child_frame_id,
            )
            self._stream.log(f"transforms/{edge.replace('/', '_')}", transform)

    def _add_points(self, message, time: int) -> None:
        self._add_cloud("answer/points", message, time)

    def _add_scene_points(self, message, time: int) -> None:
        self._add_cloud("scene/points", message, time)

    def _add_cloud(self, path: str, message, time: int) -> None:
        self._begin(message.header, time)
        cloud = read_cloud(message)
        self._show_in(cloud.frame_id)
        points = rr.Points3D(cloud.points, colors=cloud.colors, radii=_POINT)
        self._stream.log(path, points, rr.CoordinateFrame(cloud.frame_id))

    def _add_result(self, message, time: int) -> None:
        result = read_result(message)
        self._at(result.stamp or result.received or time)
        level = rr.TextLogLevel.INFO if result.status == QueryStatus.OK else rr.TextLogLevel.WARN
        line = f"{result.query!r}: {result.status.name} {result.answer or result.message}"
        self._stream.log("log", rr.TextLog(line, level=level))
        if result.status in (QueryStatus.CANCELLED, QueryStatus.REJECTED):
            return  # says nothing about the scene: the last answer is still the last
        self._stream.log("answer/text", rr.TextDocument(answer_markdown(result), media_type=rr.MediaType.MARKDOWN))
        for stage, seconds in result.seconds.items():
            self._stream.log(f"seconds/{stage}", rr.Scalars(seconds))
        self._add_masks(result)
        self._add_boxes(result)

    def _add_masks(self, result: PerceptionResult) -> None:
        image = self._images.get(result.stamp)
        asked = (rr.Clear(recursive=False),) if image is None else self._picture(image)
        self._stream.log("answer/image", *asked)
        found = result.union_mask
        if found is None or not found.any():
            self._stream.log("answer/mask", rr.Clear(recursive=False))
            return
        labels = np.zeros(found.shape, np.uint8)
        for number, target in enumerate(result.targets):
            labels[target.mask] = 1 + number % len(PALETTE)
        self._stream.log("answer/mask", rr.SegmentationImage(labels, opacity=0.5))

    def _add_boxes(self, result: PerceptionResult) -> None:
        located = [(number, one) for number, one in enumerate(result.targets) if one.kind == SEGMENTED and one.location]
        for path in ("answer/boxes", "answer/grasps"):
            self._stream.log(path, rr.Clear(recursive=False))
        if not located:
            return
        frame = located[0][1].location.frame_id
        self._show_in(frame)
        boxes = rr.Boxes3D(
            centers=[one.location.pose[:3, 3] for _, one in located],
            half_sizes=[one.location.extents / 2 for _, one in located],
            quaternions=[rr.Quaternion(xyzw=quaternion_of(one.location.pose[:3, :3])) for _, one in located],
            colors=[PALETTE[number % len(PALETTE)] for number, _ in located],
            labels=[one.phrase or f"target {number}" for number, one in located],
        )
        self._stream.log("answer/boxes", boxes, rr.CoordinateFrame(frame))
        grasps = [one.location.grasp for _, one in located if one.location.grasp]
        if grasps:
            way = [_APPROACH * grasp.rotation[:, 2] for grasp in grasps]
            starts = [grasp.top - step for grasp, step in zip(grasps, way, strict=True)]
            arrows = rr.Arrows3D(origins=starts, vectors=way, colors=(64, 120, 255))
            self._stream.log("answer/grasps", arrows, rr.CoordinateFrame(frame))

    def _show_in(self, frame: str) -> None:
        """The 3D view is of the frame of the newest coordinates."""
        if frame != self._frame:
            self._frame = frame
            self._stream.send_blueprint(_blueprint(frame))


def _blueprint(frame: str) -> rrb.Blueprint:
    """The layout: 3D, camera and answer, words and times. frame: of the coordinates, "" before any are there."""
    space = {}
    if frame:
        axes = rr.ViewCoordinates.RDF if frame.endswith(_OPTICAL) else rr.ViewCoordinates.RIGHT_HAND_Z_UP
        space = {"spatial_information": rrb.SpatialInformation(target_frame=frame, axes=axes)}
    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Spatial3DView(name="scene", origin="/", contents=["+ /**", "- /depth", "- /answer/mask"], **space),
            rrb.Vertical(
                rrb.Spatial2DView(name="answer", origin="/answer", contents=["/answer/image", "/answer/mask"]),
                rrb.Spatial2DView(name="camera", origin="/camera/image"),
                rrb.Spatial2DView(name="depth", origin="/depth"),
            ),
            rrb.Vertical(
                rrb.TextDocumentView(name="what was answered", origin="/answer/text"),
                rrb.TextLogView(name="log", origin="/log"),
                rrb.TimeSeriesView(name="seconds", origin="/seconds"),
            ),
            column_shares=[4, 3, 3],
        ),
        collapse_panels=True,
    )
