"""Images that were not rectified: how far their lens bends them, and how they are made straight."""

from dataclasses import dataclass

import cv2
import numpy as np

from lisa_ros.errors import InvalidImageError
from lisa_ros.geometry.camera import CameraModel

# Names of CameraInfo.distortion_model. The first two are one model with more or fewer coefficients.
_POLYNOMIAL = ("plumb_bob", "rational_polynomial", "thin_prism")
_FISHEYE = ("equidistant", "fisheye", "kannala_brandt4")
_COUNTS = (4, 5, 8, 12, 14)  # of coefficients that OpenCV takes


@dataclass(frozen=True)
class Distortion:
    """A lens. model: one of CameraInfo.distortion_model. coefficients: `CameraInfo.d`.

    Raises InvalidImageError for a model that is not known, and for another number of coefficients than it has.
    """

    model: str
    coefficients: tuple[float, ...]

    def __post_init__(self):
        known = (*_POLYNOMIAL, *_FISHEYE)
        if self.model not in known:
            raise InvalidImageError(
                f"the image is not rectified, and its distortion_model {self.model!r} is none of {', '.join(known)}: "
                "rectify it (image_proc) and take image and camera_info of the rectified topic"
            )
        counts = (4,) if self.is_fisheye else _COUNTS
        if len(self.coefficients) not in counts or not np.isfinite(self.coefficients).all():
            raise InvalidImageError(
                f"{self.model} has {' or '.join(map(str, counts))} finite coefficients, not {list(self.coefficients)}"
            )

    @property
    def is_fisheye(self) -> bool:
        """Whether the angle to the axis, not its tangent, gives the distance from the centre."""
        return self.model in _FISHEYE

    def maps(self, camera: CameraModel) -> tuple[np.ndarray, np.ndarray]:
        """For `rectify`: columns and rows (H, W) float32 in the bent image of each pixel of the straight one."""
        make = cv2.fisheye.initUndistortRectifyMap if self.is_fisheye else cv2.initUndistortRectifyMap
        size = (camera.width, camera.height)
        values = np.array(self.coefficients, np.float64)
        return make(camera.matrix, values, np.eye(3), camera.matrix, size, cv2.CV_32FC1)

    def displacement(self, camera: CameraModel) -> float:
        """Pixels by which the lens moves a point of the image's border at most, as the straight image shows it."""
        columns, rows = self.maps(camera)
        there = np.indices(columns.shape)
        return float(np.hypot(columns - there[1], rows - there[0]).max())


def rectify(image: np.ndarray, maps: tuple[np.ndarray, np.ndarray], is_smooth: bool = False) -> np.ndarray:
    """The straight image of a bent one, (H, W) or (H, W, C); 0 where the bent one shows nothing.

    is_smooth: whether values between two pixels mean something, as those of colours do and of masks and depth do not.
    """
    kind = image.dtype
    source = image.astype(np.uint8) if kind == np.dtype(bool) else image
    straight = cv2.remap(source, *maps, cv2.INTER_LINEAR if is_smooth else cv2.INTER_NEAREST)
    return straight.astype(kind, copy=False)
