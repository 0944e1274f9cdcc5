"""sensor_msgs/CameraInfo to the camera that took an image, with binning, roi and distortion. No rclpy."""

from dataclasses import dataclass, replace

import numpy as np

from lisa_ros.errors import InvalidImageError
from lisa_ros.geometry import CameraModel
from lisa_ros.geometry.distortion import Distortion

# A lens that moves nothing by more than this may as well be none.
_NEGLIGIBLE = 1.0  # pixels
_ROUNDING = 1  # pixels by which a size may differ from what binning and region of interest give
_SHORTEST = 0.01  # focal length in image sizes; a rectified image of 179 degrees
# One reading of the principal point has to be that much nearer to the image's centre than the other one.
_DECISIVE = 2.0


@dataclass(frozen=True)
class Calibration:
    """camera: of the image as it is. distortion: of an image that is not rectified; None for one that is."""

    camera: CameraModel
    distortion: Distortion | None = None


def camera_model(info, size: tuple[int, int] | None = None) -> CameraModel:
    """The camera of a rectified image. Arguments as those of `calibration`.

    Raises InvalidImageError as `calibration` does, and for an image that is not rectified.
    """
    found = calibration(info, size)
    if found.distortion is not None:
        raise InvalidImageError(
            f"the image is not rectified: camera_info has distortion ({info.distortion_model} {list(info.d)}), no P; "
            "rectify it (image_proc) and take image and camera_info of the rectified topic"
        )
    return found.camera


def calibration(info, size: tuple[int, int] | None = None) -> Calibration:
    """What a sensor_msgs/CameraInfo says about an image.

    P is the camera matrix of the rectified image, K that of the raw one; drivers of cameras without distortion often
    fill one alone. An image whose P is filled is taken for rectified; with P zero and distortion it is not.
    size: (width, height) of the image; None: that of camera_info, which then tells no binning. Binning and region of
    interest are applied where the sizes, or a principal point far off the image's centre, say that the matrices are
    those of the whole sensor. Raises InvalidImageError where there is no calibration, or not that of this image.
    """
    k, p = np.asarray(info.k, np.float64).reshape(3, 3), np.asarray(info.p, np.float64).reshape(3, 4)
    has_projection = p[0, 0] > 0 and p[1, 1] > 0
    camera = CameraModel.from_matrix(p[:, :3] if has_projection else k, info.width, info.height)
    _check_plausible(camera)
    camera = _of_image(camera, info, size or (info.width, info.height))
    if has_projection or not any(info.d):
        return Calibration(camera)
    distortion = Distortion(info.distortion_model or "plumb_bob", tuple(map(float, info.d)))
    is_negligible = distortion.displacement(camera) <= _NEGLIGIBLE
    return Calibration(camera, None if is_negligible else distortion)


def _check_plausible(camera: CameraModel) -> None:
    """Raises InvalidImageError for focal lengths that are no pixels."""
    if camera.fx < _SHORTEST * camera.width or camera.fy < _SHORTEST * camera.height:
        raise InvalidImageError(
            f"camera intrinsics fx={camera.fx:g}, fy={camera.fy:g} of {camera.width}x{camera.height} pixels are not "
            "usable: focal lengths are given in pixels, not as shares of the image"
        )


def doubts(info, is_rectified: bool = False) -> list[str]:
    """What of a camera_info is not, or may not be, taken account of, each in some words; [] for nothing.

    A message does not say which of two images it belongs to. Where rectification changes K, or R turns the view,
    somebody has calibrated for a rectified topic, and the remark about distortion is the same. is_rectified: the
    topic's name says that its images are.
    """
    distortion = "" if is_rectified else _doubtful_distortion(info)
    found = [distortion] if distortion else []
    matrix = info.p if info.p[0] else info.k
    if matrix[0] and not matrix[2] and not matrix[5 if matrix is info.k else 6]:
        found.append("the principal point 0, 0: the matrix may be transposed, or not filled")
    if abs(info.k[1]) > _NEGLIGIBLE:
        found.append(f"a skew of {info.k[1]:g} pixels in K, which is left out")
    if info.p[3] or info.p[7]:
        found.append(
            f"an offset in P ({info.p[3]:g}, {info.p[7]:g}), as of a stereo pair's second camera, which is left out: "
            "points are given as seen from this camera"
        )
    return found


def _doubtful_distortion(info) -> str:
    try:
        if not any(info.d) or calibration(info).distortion is not None:
            return ""
        camera = CameraModel.from_matrix(info.k, info.width, info.height)
    except InvalidImageError:  # it is told where the calibration is used
        return ""
    taken = "and the image is taken for rectified because P is filled: if it is the raw one, take image_proc's instead"
    try:
        moved = Distortion(info.distortion_model or "plumb_bob", tuple(map(float, info.d))).displacement(camera)
    except InvalidImageError:
        return f"distortion of an unknown kind ({info.distortion_model} {list(info.d)}), {taken}"
    return f"distortion of up to {moved:.0f} pixels, {taken}" if moved > _NEGLIGIBLE else ""


def _of_image(camera: CameraModel, info, size: tuple[int, int]) -> CameraModel:
    """camera: with the matrices and the size that the message has."""
    cut = _cut(camera, info, size)
    if (camera.width, camera.height) != size:
        if cut is None:
            raise InvalidImageError(_wrong_size(camera, info, size))
        # Some drivers give the sensor's size beside matrices of the image. A part of a sensor with its principal point
        # in the middle never looks more like that than like what it is.
        as_image = replace(camera, width=size[0], height=size[1])
        return as_image if _DECISIVE * _eccentricity(as_image) < _eccentricity(cut) else cut
    if cut is None or cut == camera:
        return camera
    # Drivers that give the image's own size leave the matrices as calibrated, or cut them too.
    as_it_is, as_cut = (_eccentricity(one) for one in (camera, cut))
    if max(as_it_is, as_cut) < _DECISIVE * min(as_it_is, as_cut):
        raise InvalidImageError(
            f"camera_info of {camera.width}x{camera.height} names {_cut_words(info)}, and its matrices may be those of "
            f"the whole sensor or of the image: its principal point is {camera.cx:.0f}, {camera.cy:.0f}; publish "
            "camera_info with the whole sensor's width and height, or without binning and roi"
        )
    return camera if as_it_is < as_cut else cut


def _cut(camera: CameraModel, info, size: tuple[int, int]) -> CameraModel | None:
    """The camera of the part and the resolution that are named, as of an image; None where that has another size."""
    binning = max(1, info.binning_x), max(1, info.binning_y)
    roi = info.roi
    whole = not (roi.width and roi.height)
    width, height = (camera.width, camera.height) if whole else (roi.width, roi.height)
    is_own_size = (camera.width, camera.height) == size
    if whole and is_own_size:
        width, height = width * binning[0], height * binning[1]  # the size was cut already
    expected = width / binning[0], height / binning[1]
    if any(abs(have - want) > _ROUNDING for have, want in zip(size, expected, strict=True)):
        return None
    x, y = (0, 0) if whole else (roi.x_offset, roi.y_offset)
    # Pixel centres are at integers: the left edge of the image, which binning keeps, is at -0.5.
    return replace(
        camera,
        width=size[0],
        height=size[1],
        fx=camera.fx / binning[0],
        fy=camera.fy / binning[1],
        cx=(camera.cx - x + 0.5) / binning[0] - 0.5,
        cy=(camera.cy - y + 0.5) / binning[1] - 0.5,
    )


def _eccentricity(camera: CameraModel) -> float:
    """Distance of the principal point from the image's centre, in half sizes; above 0 for ratios."""
    x, y = camera.cx / ((camera.width - 1) / 2 or 1) - 1, camera.cy / ((camera.height - 1) / 2 or 1) - 1
    return max(float(np.hypot(x, y)), 0.02)


def _cut_words(info) -> str:
    roi = info.roi
    words = []
    if max(info.binning_x, info.binning_y) > 1:
        words.append(f"binning {max(1, info.binning_x)}x{max(1, info.binning_y)}")
    if roi.width and roi.height:
        words.append(f"roi {roi.width}x{roi.height} at {roi.x_offset}, {roi.y_offset}")
    return " and ".join(words) or "no binning and no roi"


def _wrong_size(camera: CameraModel, info, size: tuple[int, int]) -> str:
    return (
        f"camera_info is of {camera.width}x{camera.height} with {_cut_words(info)}, which does not give the image's "
        f"{size[0]}x{size[1]}; where a node resizes or crops the image, remap `camera_info` to that node's; where both "
        "are of one driver, its calibration file is for another resolution"
    )
