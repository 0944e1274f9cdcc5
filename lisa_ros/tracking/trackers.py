"""The means of following, by name."""

from collections.abc import Callable

from lisa_ros.errors import ConfigurationError
from lisa_ros.tracking.flow_tracker import FlowTracker
from lisa_ros.tracking.mask_tracker import MaskTracker

FLOW = "flow"
VIDEO_MODELS = ("edgetam", "sam3_tracker")
TRACKERS = (FLOW, *VIDEO_MODELS)


def check_tracker(name: str, folder: str) -> None:
    """Raises ConfigurationError for an unknown name, and where a folder is missing or has no use."""
    if name not in TRACKERS:
        raise ConfigurationError(f"tracker {name!r} is not one of {', '.join(TRACKERS)}")
    if name in VIDEO_MODELS and not folder:
        raise ConfigurationError(f"tracker {name!r} needs the folder of its weights (follow_model, --tracker-model)")
    if name == FLOW and folder:
        raise ConfigurationError(f"tracker 'flow' has no weights, but a folder is given for them: {folder!r}")


def tracker_factory(name: str, folder: str, device) -> Callable[[], MaskTracker]:
    """What makes trackers of that kind, which share the weights.

    Args:
        name: One of TRACKERS.
        folder: Of the weights, for all but "flow", where it is "".
        device: torch.device of the weights; without use for "flow", which runs on the CPU.

    Raises:
        ConfigurationError: Name and folder do not fit, or a package is missing.
        CheckpointError: The weights cannot be loaded.
        MemoryBudgetError: The device's memory does not suffice.
    """
    check_tracker(name, folder)
    if name == FLOW:
        return FlowTracker
    # Imported here: flow needs neither torch nor transformers.
    from lisa_ros.tracking.video_model_tracker import VideoModelTracker
    from lisa_ros.tracking.video_models import load_video_model

    model = load_video_model(name, folder, device)
    return lambda: VideoModelTracker(model)
