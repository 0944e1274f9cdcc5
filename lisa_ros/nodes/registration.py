"""Depth and camera_info of another lens than a query's image: refused, registered or trusted. No rclpy."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.camera_info import Calibration, calibration, camera_model
from lisa_ros.depth_registration import REFUSE, TRUST, difference, frame_of, is_of_other_frame
from lisa_ros.errors import InvalidImageError, NoDepthError, NoTransformError
from lisa_ros.geometry import CameraModel
from lisa_ros.image_messages import image_size, to_depth
from lisa_ros.nodes.frame_buffer import SECOND, Bundle, stamp_of
from lisa_ros.nodes.queries import Query


@dataclass(frozen=True)
class Depth:
    """metres: (h, w) float32, 0 where invalid. camera, pose: of a depth camera that is to be registered, else None.

    pose: (4, 4) image's optical frame <- depth camera's. remarks: what a person should know.
    """

    metres: np.ndarray
    camera: CameraModel | None = None
    pose: np.ndarray | None = None
    remarks: tuple[str, ...] = ()


def image_calibration(query: Query) -> tuple[Calibration, tuple[str, ...]]:
    """The calibration of the query's image, and remarks. Raises NoDepthError."""
    bundle = query.bundle
    if bundle.info is None:
        raise NoDepthError(
            "no camera_info has arrived for this image's frame; "
            + (bundle.hints.get("info") or "remap the camera's topic to `camera_info`")
        )
    found, wanted = frame_of(bundle.info), frame_of(bundle.image)
    remarks = []
    if is_of_other_frame(bundle.info, bundle.image):
        if query.settings.depth_registration != TRUST:
            raise NoDepthError(
                f"camera_info is of frame {found!r} ({_stamp(bundle.info)}), the image of {wanted!r} "
                f"({_stamp(bundle.image)}): remap `camera_info` to the image's own; where only the driver's names "
                "differ, set depth_registration to trust"
            )
    elif found != wanted:
        remarks.append(
            f"camera_info ({_stamp(bundle.info)}) names frame_id {found!r}, the image ({_stamp(bundle.image)}) "
            f"{wanted!r}: it is taken for the image's"
        )
    try:
        return calibration(bundle.info, image_size(bundle.image)), tuple(remarks)
    except InvalidImageError as error:
        raise NoDepthError(f"camera_info is not usable: {error}") from error


def image_depth(query: Query, color: CameraModel) -> Depth:
    """The depth of the query's image, and how it becomes that of the camera `color`. Raises NoDepthError."""
    bundle, rule = query.bundle, query.settings.depth_registration
    if bundle.depth_refusal:
        raise NoDepthError(f"the depth image was refused: {bundle.depth_refusal}")
    if bundle.depth is None:
        raise NoDepthError(_why_no_depth(query))
    try:
        metres = to_depth(bundle.depth)
    except InvalidImageError as error:
        raise NoDepthError(str(error)) from error
    found, wanted = frame_of(bundle.depth), frame_of(bundle.image)
    if rule == TRUST:
        return Depth(metres)
    lens = _depth_camera(bundle, metres)
    differs = difference(bundle.depth, bundle.image, color, metres.shape[::-1], lens)
    if not differs:
        return Depth(metres, remarks=_remarks(found, wanted))
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
        return Depth(metres, lens, pose)
    remark = f"depth of frame {found!r} has another lens and is registered as of the image's place; depth_pose moves it"
    return Depth(metres, lens, np.eye(4), (remark,))


def _remarks(found: str, wanted: str) -> tuple[str, ...]:
    if found == wanted:
        return ()
    return (f"depth names frame_id {found!r}, the image {wanted!r}: it is taken as registered to the image",)


def _depth_camera(bundle: Bundle, metres: np.ndarray) -> CameraModel | None:
    if bundle.depth_info is None:
        return None
    if is_of_other_frame(bundle.depth_info, bundle.depth):
        raise NoDepthError(
            f"depth_camera_info is of frame {frame_of(bundle.depth_info)!r} ({_stamp(bundle.depth_info)}), depth of "
            f"{frame_of(bundle.depth)!r} "
            f"({_stamp(bundle.depth)}): remap `depth_camera_info` to the depth image's own"
        )
    try:
        return camera_model(bundle.depth_info, metres.shape[::-1])
    except InvalidImageError as error:
        raise NoDepthError(f"depth_camera_info is not usable: {error}") from error


def _pose(query: Query) -> np.ndarray | None:
    if query.depth_pose is None and query.find_depth_pose is not None:
        try:
            query.depth_pose, query.find_depth_pose = query.find_depth_pose(), None
        except NoTransformError as error:
            raise NoDepthError(f"depth cannot be registered: {error}") from error
    return query.depth_pose


def _why_no_depth(query: Query) -> str:
    hint = query.bundle.hints.get("depth") or (
        "is a depth camera running, is its topic remapped to `depth`, are both stamped by one clock?"
    )
    tolerance = query.settings.sync_tolerance
    return f"no depth image is within {tolerance:g} s of this image (parameter sync_tolerance); {hint}"


def _stamp(message) -> str:
    return f"stamp {stamp_of(message, 0)[0] / SECOND:.3f}"
