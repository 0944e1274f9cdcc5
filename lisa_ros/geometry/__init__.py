"""Mask and depth to clouds and boxes. No torch, no rclpy, no open3d; numba, slow to load, at the first cloud."""

from lisa_ros import numba_cache  # noqa: F401 - first of all
from lisa_ros.geometry.camera import CameraModel
from lisa_ros.geometry.depth import depth_to_metres
from lisa_ros.geometry.masks import count_components, touches_border
from lisa_ros.geometry.options import CloudOptions, MaskOptions
from lisa_ros.geometry.report import CloudReport, SupportPlane, TargetClouds, TopGrasp

__all__ = [
    "CameraModel",
    "CloudOptions",
    "CloudReport",
    "MaskOptions",
    "SupportPlane",
    "TargetClouds",
    "TopGrasp",
    "count_components",
    "depth_to_metres",
    "scene_cloud",
    "target_cloud",
    "target_clouds",
    "touches_border",
]

_CLOUDS = ("scene_cloud", "target_cloud", "target_clouds")


def __getattr__(name: str):
    if name not in _CLOUDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lisa_ros.geometry import clouds

    return getattr(clouds, name)
