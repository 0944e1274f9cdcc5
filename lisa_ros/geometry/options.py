"""How masks and clouds are cleaned: default, meaning and limits of every option, once."""

import math
from dataclasses import dataclass, field, fields
from numbers import Integral, Real

from lisa_ros.errors import ConfigurationError


def _option(default: float, about: str, low: float, high: float):
    return field(default=default, metadata={"about": about, "low": low, "high": high})


@dataclass(frozen=True)
class MaskOptions:
    """Raises ConfigurationError for a value that does not fit."""

    min_component_share: float = _option(
        0.0,
        "Parts of a mask smaller than this share of its largest part are dropped, and holes smaller than that filled; "
        "0: masks stay as the model draws them",
        0.0,
        1.0,
    )

    def __post_init__(self):
        _check_options(self)


@dataclass(frozen=True)
class CloudOptions:
    """Pixels are those of the depth image; lengths are in m. Raises ConfigurationError for a value that does not fit.

    A footprint is the size of a pixel at the target's distance, about 1.5 mm at 0.8 m for 640x480.
    """

    jump_footprints: float = _option(
        6.0,
        "Depth that differs by more than this many footprints from one pixel to the next is a jump: pixels between two "
        "jumps belong to no surface and are dropped; 0: none are",
        0.0,
        1000.0,
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
    outlier_radius: float = _option(3.0, "Radius for outlier_neighbours, in footprints", 1.0, 100.0)
    min_points: int = _option(10, "Fewer points than this are no target cloud", 1, 1_000_000)
    gripper_opening: float = _option(
        0.085, "Widest that the gripper opens, in m; wider targets are published with a warning", 0.001, 10.0
    )
    scene_margin_pixels: int = _option(
        4, "Scene cloud: its distance from the mask, in pixels, so that no rim of the target is an obstacle", 0, 200
    )
    scene_voxel_size: float = _option(
        0.01, "Scene cloud: one point for each cube of this edge, in m; 0: every point", 0.0, 1.0
    )
    scene_max_range: float = _option(
        1000.0, "Scene cloud: farther depth, in m, is left out, as is what max_range leaves out", 0.0, 1000.0
    )
    scene_min_x: float = _option(
        -1e6, "Scene cloud: smallest x, in m, of the workspace in the frame of the clouds", -1e6, 1e6
    )
    scene_max_x: float = _option(
        1e6, "Scene cloud: largest x, in m, of the workspace in the frame of the clouds", -1e6, 1e6
    )
    scene_min_y: float = _option(
        -1e6, "Scene cloud: smallest y, in m, of the workspace in the frame of the clouds", -1e6, 1e6
    )
    scene_max_y: float = _option(
        1e6, "Scene cloud: largest y, in m, of the workspace in the frame of the clouds", -1e6, 1e6
    )
    scene_min_z: float = _option(
        -1e6, "Scene cloud: smallest z, in m, of the workspace in the frame of the clouds", -1e6, 1e6
    )
    scene_max_z: float = _option(
        1e6, "Scene cloud: largest z, in m, of the workspace in the frame of the clouds", -1e6, 1e6
    )

    def __post_init__(self):
        _check_options(self)
        if self.min_range >= self.max_range:
            raise ConfigurationError(f"min_range={self.min_range} must be below max_range={self.max_range}")
        for axis, low, high in zip("xyz", *self.workspace, strict=True):
            if low >= high:
                raise ConfigurationError(f"scene_min_{axis}={low} must be below scene_max_{axis}={high}")

    @property
    def workspace(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Smallest and largest x, y, z of the scene cloud, in m."""
        return (
            (self.scene_min_x, self.scene_min_y, self.scene_min_z),
            (self.scene_max_x, self.scene_max_y, self.scene_max_z),
        )


def _check_options(options: MaskOptions | CloudOptions):
    for option in fields(options):
        value, low, high = getattr(options, option.name), option.metadata["low"], option.metadata["high"]
        kind = Integral if isinstance(option.default, int) else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            words = "a whole number" if kind is Integral else "a number"
            raise ConfigurationError(f"{option.name}={value!r} must be {words} between {low} and {high}")
        if not (math.isfinite(value) and low <= value <= high):
            raise ConfigurationError(f"{option.name}={value} must lie between {low} and {high}")
