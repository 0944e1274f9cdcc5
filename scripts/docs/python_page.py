"""The page of the Python API: which names it shows; what it says of them stands in their docstrings."""

SECTIONS = {
    "The model": (
        "lisa_ros.inference.engine.Lisa",
        "lisa_ros.inference.conversation.Conversation",
        "lisa_ros.inference.frame.EncodedFrame",
    ),
    "Results": (
        "lisa_ros.types.SegmentationResult",
        "lisa_ros.types.Target",
        "lisa_ros.types.Candidate",
        "lisa_ros.types.TextDelta",
        "lisa_ros.types.MaskReady",
        "lisa_ros.types.Finished",
        "lisa_ros.visualization.draw_overlay",
    ),
    "Asking a perception node": (
        "lisa_ros.client.perception_client.PerceptionClient",
        "lisa_ros.client.query_handle.QueryHandle",
        "lisa_ros.client.results.PerceptionResult",
        "lisa_ros.client.results.PerceptionTarget",
        "lisa_ros.client.results.TargetLocation",
        "lisa_ros.client.results.PointCloud",
        "lisa_ros.client.results.QueryFeedback",
        "lisa_ros.client.results.QueryStatus",
    ),
    "Clouds, boxes and grasps": (
        "lisa_ros.geometry.clouds.target_clouds",
        "lisa_ros.geometry.clouds.target_cloud",
        "lisa_ros.geometry.clouds.scene_cloud",
        "lisa_ros.geometry.camera.CameraModel",
        "lisa_ros.geometry.options.CloudOptions",
        "lisa_ros.geometry.report.TargetClouds",
        "lisa_ros.geometry.report.CloudReport",
        "lisa_ros.geometry.report.TopGrasp",
        "lisa_ros.geometry.report.SupportPlane",
    ),
    "Following": ("lisa_ros.tracking.target_follower.TargetFollower",),
    "Simulator, recordings, data sets": (
        "lisa_ros.simulator.scene.generate_scene",
        "lisa_ros.simulator.scene.Scene",
        "lisa_ros.simulator.layout.SceneOptions",
        "lisa_ros.recordings.bag_reader.RgbdBag",
        "lisa_ros.types.Sample",
        "lisa_ros.types.Turn",
        "lisa_ros.types.TruthTarget",
    ),
    "Scores": ("lisa_ros.evaluation.metrics.SegmentationMetrics",),
    "Styles": ("lisa_ros.model.styles.base.Style",),
}
_ERRORS = "lisa_ros.errors"


def page() -> str:
    """The whole page."""
    lines = ["# Python API\n\nMade from the docstrings when this site was built.\n"]
    for title, names in SECTIONS.items():
        lines.append(f"## {title}\n")
        lines += [f"::: {name}\n" for name in names]
    lines.append(f"## Errors\n\n::: {_ERRORS}\n    options: {{show_root_heading: false, show_root_toc_entry: false}}\n")
    return "\n".join(lines)
