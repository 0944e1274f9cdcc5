"""Streaming video models of transformers, from a folder with their published files."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import EdgeTamVideoModel, Sam3TrackerVideoModel
from transformers.models.edgetam_video.modeling_edgetam_video import EdgeTamVideoInferenceSession
from transformers.models.sam3_tracker_video.modeling_sam3_tracker_video import Sam3TrackerVideoInferenceSession

from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.memory import memory_guard

_SHOWN = 3  # names of weights in a message


@dataclass(frozen=True)
class _Kind:
    """What loading has to know of one architecture.

    Attributes:
        network: Class of the model.
        session: Class of its inference session.
        model_types: Values of `model_type` in config.json that it reads.
        mean: Of each channel of the images that it was trained on, RGB, 0 to 1, as transformers' processors have it.
        std: Standard deviation of each channel.
    """

    network: type
    session: type
    model_types: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_KINDS = {
    "edgetam": _Kind(
        EdgeTamVideoModel,
        EdgeTamVideoInferenceSession,
        ("edgetam_video",),
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    ),
    "sam3_tracker": _Kind(
        Sam3TrackerVideoModel,
        Sam3TrackerVideoInferenceSession,
        ("sam3_tracker_video", "sam3_video"),  # the tracker alone, and the published files, which hold a detector too
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
    ),
}


@dataclass(frozen=True)
class VideoModel:
    """A loaded video model; any number of trackers share it.

    Attributes:
        network: The model of transformers, float32, in evaluation mode.
        session: Class of its inference session.
        device: Where it runs.
        side: px, height and width of the square that images are resized to.
        mean: (3, 1, 1) float32 on the device, RGB, 0 to 1.
        std: The same, standard deviation.
    """

    network: nn.Module
    session: type
    device: torch.device
    side: int
    mean: torch.Tensor
    std: torch.Tensor


def load_video_model(name: str, folder: str | Path, device: torch.device) -> VideoModel:
    """Loads a model of transformers from local files; nothing is downloaded, and no code of the folder is run.

    Args:
        name: "edgetam" or "sam3_tracker".
        folder: With config.json and safetensors, as `save_pretrained` writes them.
        device: Where it shall run.

    Raises:
        CheckpointError: The folder is not there, holds another model, lacks weights or has wrong ones.
        ConfigurationError: EdgeTAM needs timm, which is not installed.
        MemoryBudgetError: The device's memory does not suffice.
    """
    kind, folder = _KINDS[name], Path(folder).expanduser()
    _check_files(name, kind, folder)
    with memory_guard(device, "tracker"):
        network = _load(name, kind, folder).to(device).eval()
    size = network.config.image_size
    side = size if isinstance(size, int) else size[0]
    mean, std = (torch.tensor(values, device=device).reshape(3, 1, 1) for values in (kind.mean, kind.std))
    return VideoModel(network, kind.session, device, side, mean, std)


def _check_files(name: str, kind: _Kind, folder: Path) -> None:
    config = folder / "config.json"
    if not config.is_file():
        raise CheckpointError(f"{name}: {config} is not there; give a folder with the model's files")
    try:
        model_type = json.loads(config.read_text()).get("model_type")
    except (ValueError, AttributeError, OSError) as error:
        raise CheckpointError(f"{name}: {config} cannot be read: {error}") from error
    if model_type not in kind.model_types:
        wanted = " or ".join(kind.model_types)
        raise CheckpointError(f"{name}: {config} has model_type {model_type!r}; it must be {wanted}")
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(f"{name}: {folder} holds no *.safetensors; other formats of weights are not read")
    if name == "edgetam" and importlib.util.find_spec("timm") is None:
        raise ConfigurationError("edgetam: its image encoder needs timm, which is not installed: pip install timm")


def _load(name: str, kind: _Kind, folder: Path) -> nn.Module:
    try:
        network, report = kind.network.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise CheckpointError(f"{name}: {folder} cannot be loaded: {error}") from error
    for what in ("missing_keys", "mismatched_keys"):  # transformers fills them with random numbers
        if found := sorted(str(key) for key in report[what]):
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise CheckpointError(
                f"{name}: {folder} has {what.replace('_', ' ')}: {', '.join(found[:_SHOWN])}{more}; the files are "
                "damaged or of another version of the model"
            )
    return network
