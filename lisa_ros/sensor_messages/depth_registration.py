"""Whether a depth image lies on its colour image, as far as messages say; the rule for one that does not. No rclpy.

Compared are the frames that the messages name, the sizes, and the depth camera's own intrinsics where they are
published.
"""

from lisa_ros.errors import InvalidImageError
from lisa_ros.geometry import CameraModel
from lisa_ros.geometry.registration import displacement

REFUSE, REGISTER, TRUST = "refuse", "register", "trust"
RULES = (REFUSE, REGISTER, TRUST)
_TOLERANCE = 2.0  # pixels of the depth image by which its own intrinsics may move it beside the image


def plain_frame(name: str) -> str:
    """A frame's name without the leading slash of ROS 1, which drivers and converted bags still have."""
    return name.lstrip("/")


def frame_of(message) -> str:
    """The plain frame that a message's header names."""
    return plain_frame(message.header.frame_id)


def is_of_other_frame(message, image) -> bool:
    """Whether a message names another frame than the image. One without a name says nothing; some drivers omit it."""
    named, wanted = frame_of(message), frame_of(image)
    return bool(named and wanted and named != wanted)


def difference(depth, image, color: CameraModel | None, size: tuple[int, int], lens: CameraModel | None) -> str:
    """How the depth's lens differs from the image's; "" where nothing says so.

    depth, image: messages. color: of the image; None where it is not known, so that the frames alone are compared.
    size: (width, height) of depth. lens: the depth camera's own intrinsics, None where they are not known.
    """
    if is_of_other_frame(depth, image):
        return f"depth is of frame {frame_of(depth)!r}, the image of {frame_of(image)!r}"
    if color is None:
        return ""
    try:
        color.scaled(*size)
    except InvalidImageError as error:
        return str(error)
    if lens is None:
        return ""
    moved = displacement(color, lens)
    return f"depth_camera_info has other intrinsics, up to {moved:.0f} pixels off" if moved > _TOLERANCE else ""
