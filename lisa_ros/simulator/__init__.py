"""A procedural tabletop world with exact truth: RGB-D scenes, instance masks, poses, and queries about them."""

from lisa_ros import numba_cache  # noqa: F401 - first of all
from lisa_ros.simulator.depth_noise import frame_rng, noisy_depth
from lisa_ros.simulator.layout import SceneOptions
from lisa_ros.simulator.query import TabletopQuery
from lisa_ros.simulator.query_sampling import FURTHER_KINDS, scene_queries
from lisa_ros.simulator.scene import Scene, SceneObject, generate_scene, scene_at
from lisa_ros.simulator.stream import SceneStream, StreamFrame

__all__ = [
    "FURTHER_KINDS",
    "Scene",
    "SceneObject",
    "SceneOptions",
    "SceneStream",
    "StreamFrame",
    "TabletopQuery",
    "frame_rng",
    "generate_scene",
    "noisy_depth",
    "scene_at",
    "scene_queries",
]
