"""Pinhole camera in the ROS optical frame (x right, y down, z forward)."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.errors import InvalidImageError

# Two sizes are those of one view where rounding alone tells them apart (in pixels, and at most this share), or where
# the smaller one was cut to a multiple of its codec's blocks: 672x376 next to 1920x1080 lacks 2 rows, 0.53 %. 848x480
# next to 1280x720 has 3 too many, 0.63 %, and is another view.
_ROUNDING, _MOST_ROUNDING = 0.5, 0.02
_CUT, _MOST_CUT = 2.0, 0.006


@dataclass(frozen=True)
class CameraModel:
    """Intrinsics of an undistorted image, in pixels; the centre of the top left pixel is (0, 0).

    Raises InvalidImageError for a size or a focal length that is not positive, and for values that are not finite.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self):
        if self.width <= 0 or self.height <= 0:
            raise InvalidImageError(f"camera size {self.width}x{self.height} must be positive")
        values = (self.fx, self.fy, self.cx, self.cy)
        if not np.isfinite(values).all() or self.fx <= 0 or self.fy <= 0:
            raise InvalidImageError(
                f"camera intrinsics fx={self.fx}, fy={self.fy}, cx={self.cx}, cy={self.cy} are not usable: all must be "
                "finite and fx, fy positive; an uncalibrated driver publishes zeros: load the camera's calibration file"
            )

    @classmethod
    def from_matrix(cls, matrix, width: int, height: int) -> "CameraModel":
        """From a 3x3 matrix K, or its nine numbers row by row (`CameraInfo.k`)."""
        values = np.asarray(matrix, dtype=np.float64)
        if values.size != 9:
            raise InvalidImageError(f"a camera matrix has 9 numbers, this one has {values.size}")
        k = values.reshape(3, 3)
        return cls(int(width), int(height), float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]))

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3) float64 K."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def scaled(self, width: int, height: int) -> "CameraModel":
        """The same view sampled with another number of pixels.

        Raises InvalidImageError where the aspect differs: then the other image is a crop, and no scale relates the two.
        """
        if (width, height) == (self.width, self.height):
            return self
        sx, sy = width / self.width, height / self.height
        if not is_same_view((width, height), (self.width, self.height)):
            raise InvalidImageError(
                f"an image of {width}x{height} cannot show the same view as the camera's {self.width}x{self.height}: "
                "the aspects differ"
            )
        # Pixel centres are at integers, so the image's edge, which the scaling keeps, is at -0.5.
        cx, cy = (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        return CameraModel(width, height, self.fx * sx, self.fy * sy, cx, cy)

    def back_project(self, rows: np.ndarray, columns: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
        """Pixels (N,), (N,) with depth along z (N,) in m to points (N, 3) float64 in the optical frame."""
        z = depth_m.astype(np.float64)
        points = np.empty((len(z), 3))
        points[:, 0] = (columns - self.cx) / self.fx * z
        points[:, 1] = (rows - self.cy) / self.fy * z
        points[:, 2] = z
        return points

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 3) in the optical frame, z > 0, to pixels (N, 2) as (column, row), float64."""
        points = np.asarray(points, dtype=np.float64)
        return points[:, :2] / points[:, 2:] * (self.fx, self.fy) + (self.cx, self.cy)


def is_same_view(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether images of two sizes (width, height) can be one view at two resolutions."""
    if min(*size, *other) <= 0:
        return False
    (width, height), (full_width, full_height) = sorted((size, other))
    bend = abs(width * full_height / (height * full_width) - 1)
    scale = (width + height) / (full_width + full_height)
    is_rounded = abs(width - full_width * scale) <= _ROUNDING and bend <= _MOST_ROUNDING
    return is_rounded or (abs(height - full_height * width / full_width) <= _CUT and bend <= _MOST_CUT)
