"""Depth and camera_info of another lens than a query's image: refused, registered or trusted. No rclpy."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.errors import InvalidImageError, NoDepthError, NoTransformError
from lisa_ros.geometry import CameraModel
from lisa_ros.nodes.common.stamps import SECOND, stamp_of
from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame
from lisa_ros.nodes.perception.queries.query import Query
from lisa_ros.sensor_messages.camera_info import Calibration, calibration, camera_model
from lisa_ros.sensor_messages.depth_registration import REFUSE, TRUST, difference, frame_of, is_of_other_frame
from lisa_ros.sensor_messages.image_messages import image_size, to_depth


@dataclass(frozen=True)
class RegisteredDepth:
    """Depth of one frame, and what registers it to the image.

    Attributes:
        metres: (h, w) float32, 0 where invalid.
        camera: Depth camera from which it is to be registered; None where it is of the image's lens.
        pose: (4, 4) image's optical frame <- depth camera's; None like `camera`.
        remarks: What is doubtful, for the result's message.
    """

    metres: np.ndarray
    camera: CameraModel | None = None
    pose: np.ndarray | None = None
    remarks: tuple[str, ...] = ()


def image_calibration(query: Query) -> tuple[Calibration, tuple[str, ...]]:
    """The calibration of the query's image, and remarks. Raises NoDepthError."""
    frame = query.frame
    if frame.info is None:
        raise NoDepthError(
            "no camera_info has arrived for this image's frame; "
            + (frame.hints.get("info") or "remap the camera's topic to `camera_info`")
        )
    found, wanted = frame_of(frame.info), frame_of(frame.image)
    remarks = []
    if is_of_other_frame(frame.info, frame.image):
        if query.request.parameters.depth_registration != TRUST:
            raise NoDepthError(
                f"camera_info is of frame {found!r} ({_stamp(frame.info)}), the image of {wanted!r} "
                f"({_stamp(frame.image)}): remap `camera_info` to the image's own; where only the driver's names "
                "differ, set depth_registration to trust"
            )
    elif found != wanted:
        remarks.append(
            f"camera_info ({_stamp(frame.info)}) names frame_id {found!r}, the image ({_stamp(frame.image)}) "
            f"{wanted!r}: it is taken for the image's"
        )
    try:
        return calibration(frame.info, image_size(frame.image)), tuple(remarks)
    except InvalidImageError as error:
        raise NoDepthError(f"camera_info is not usable: {error}") from error


def image_depth(query: Query, color: CameraModel) -> RegisteredDepth:
    """The depth of the query's image, and how it becomes that of the camera `color`. Raises NoDepthError."""
    frame, rule = query.frame, query.request.parameters.depth_registration
    if frame.depth_refusal:
        raise NoDepthError(f"the depth image was refused: {frame.depth_refusal}")
    if frame.depth is None:
        raise NoDepthError(_why_no_depth(query))
    try:
        metres = to_depth(frame.depth)
    except InvalidImageError as error:
        raise NoDepthError(str(error)) from error
    found, wanted = frame_of(frame.depth), frame_of(frame.image)
    if rule == TRUST:
        return RegisteredDepth(metres)
    lens = _depth_camera(frame, metres)
    differs = difference(frame.depth, frame.image, color, metres.shape[::-1], lens)
    if not differs:
        return RegisteredDepth(metres, remarks=_remarks(found, wanted))
    if rule == REFUSE:
        raise NoDepthError(
            f"depth is not registered to the image: {differs}; register it in the driver (align_depth, "
            "depth_registered), or set depth_registration to register, with the depth camera's `depth_camera_info`; "
            "where only the driver's names differ, to trust"
        )
    if lens is None:
        raise NoDepthError(
            f"depth cannot be registered ({differs}): no depth_camera_info has arrived; remap the depth camera's "
            "camera_info to `depth_camera_info`"
        )
    pose = _pose(query)
    if pose is not None:
        return RegisteredDepth(metres, lens, pose)
    remark = f"depth of frame {found!r} has another lens and is registered as of the image's place; depth_pose moves it"
    return RegisteredDepth(metres, lens, np.eye(4), (remark,))


def _remarks(found: str, wanted: str) -> tuple[str, ...]:
    if found == wanted:
        return ()
    return (f"depth names frame_id {found!r}, the image {wanted!r}: it is taken as registered to the image",)


def _depth_camera(frame: CameraFrame, metres: np.ndarray) -> CameraModel | None:
    if frame.depth_info is None:
        return None
    if is_of_other_frame(frame.depth_info, frame.depth):
        raise NoDepthError(
            f"depth_camera_info is of frame {frame_of(frame.depth_info)!r} ({_stamp(frame.depth_info)}), depth of "
            f"{frame_of(frame.depth)!r} ({_stamp(frame.depth)}): remap `depth_camera_info` to the depth image's own"
        )
    try:
        return camera_model(frame.depth_info, metres.shape[::-1])
    except InvalidImageError as error:
        raise NoDepthError(f"depth_camera_info is not usable: {error}") from error


def _pose(query: Query) -> np.ndarray | None:
    if query.poses is None:
        return None
    try:
        return query.poses.depth()
    except NoTransformError as error:
        raise NoDepthError(f"depth cannot be registered: {error}") from error


def _why_no_depth(query: Query) -> str:
    hint = query.frame.hints.get("depth") or (
        "is a depth camera running, is its topic remapped to `depth`, are both stamped by one clock?"
    )
    tolerance = query.request.parameters.sync_tolerance
    return f"no depth image is within {tolerance:g} s of this image (parameter sync_tolerance); {hint}"


def _stamp(message) -> str:
    return f"stamp {stamp_of(message, 0)[0] / SECOND:.3f}"
