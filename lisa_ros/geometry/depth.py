"""The one place that knows the units of ROS depth encodings (REP-118)."""

import numpy as np

from lisa_ros.errors import InvalidImageError

# mono16 is what some drivers write for millimetres; REP-118 names 16UC1.
_ENCODINGS = {"16UC1": (np.uint16, 0.001), "mono16": (np.uint16, 0.001), "32FC1": (np.float32, 1.0)}


def depth_to_metres(image: np.ndarray, encoding: str) -> np.ndarray:
    """(h, w) depth image to (h, w) float32 m, 0 where invalid (0, negative, NaN and Inf alike).

    Raises InvalidImageError for another encoding, and for an array whose shape or dtype is not the encoding's.
    """
    if encoding not in _ENCODINGS:
        raise InvalidImageError(f"depth encoding {encoding!r} is not supported; use one of {', '.join(_ENCODINGS)}")
    dtype, unit = _ENCODINGS[encoding]
    image = np.asarray(image)
    if image.ndim != 2 or image.dtype != dtype:
        raise InvalidImageError(f"{encoding} depth is (h, w) {np.dtype(dtype).name}, not {image.shape} {image.dtype}")
    metres = image.astype(np.float32) * np.float32(unit)
    metres[~(np.isfinite(metres) & (metres > 0))] = 0
    return metres
