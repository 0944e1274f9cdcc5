"""How clouds are cleaned: default, meaning and limits of every option, once."""

import math
from dataclasses import dataclass, field, fields
from numbers import Integral, Real

from lisa_ros.errors import ConfigurationError


def _option(default: float, about: str, low: float, high: float):
    return field(default=default, metadata={"about": about, "low": low, "high": high})


@dataclass(frozen=True)
class CloudOptions:
    """Pixels are those of the depth image; lengths are in m. Raises ConfigurationError for a value that does not fit.

    What is taken off the mask goes by the depth camera: it interpolates between object and background (flying pixels).
    """

    erode_pixels: int = _option(2, "Rim taken off the mask, in pixels", 0, 50)
    min_kept_share: float = _option(
        0.4, "A part of the mask that erosion would leave with a smaller share of its pixels is eroded less", 0.0, 1.0
    )
    min_component_share: float = _option(
        0.05, "Parts of the mask smaller than this share of the largest one are dropped", 0.0, 1.0
    )
    min_range: float = _option(0.1, "Nearer depth, in m, is ignored", 0.0, 1000.0)
    max_range: float = _option(10.0, "Farther depth, in m, is ignored", 0.0, 1000.0)
    voxel_size: float = _option(
        0.002, "Target cloud: one point for each cube of this edge, in m; 0: every point", 0.0, 1.0
    )
    outlier_neighbours: int = _option(
        3, "A point with fewer neighbours within outlier_radius is dropped; 0: none is", 0, 1000
    )
    outlier_radius: float = _option(
        3.0,
        "Radius for outlier_neighbours, in spacings: a pixel's footprint at the target, or voxel_size if larger",
        1.0,
        100.0,
    )
    min_points: int = _option(10, "Fewer points than this are no target cloud", 1, 1_000_000)
    scene_margin_pixels: int = _option(
        4, "Scene cloud: its distance from the mask, in pixels, so that no rim of the target is an obstacle", 0, 200
    )
    scene_voxel_size: float = _option(
        0.01, "Scene cloud: one point for each cube of this edge, in m; 0: every point", 0.0, 1.0
    )

    def __post_init__(self):
        for option in fields(self):
            value, low, high = getattr(self, option.name), option.metadata["low"], option.metadata["high"]
            kind = Integral if isinstance(option.default, int) else Real
            if isinstance(value, bool) or not isinstance(value, kind):
                words = "a whole number" if kind is Integral else "a number"
                raise ConfigurationError(f"{option.name}={value!r} must be {words} between {low} and {high}")
            if not (math.isfinite(value) and low <= value <= high):
                raise ConfigurationError(f"{option.name}={value} must lie between {low} and {high}")
        if self.min_range >= self.max_range:
            raise ConfigurationError(f"min_range={self.min_range} must be below max_range={self.max_range}")
