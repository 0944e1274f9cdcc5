"""The tiny reference checkpoint: copied, changed, loaded, refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from lisa_ros.errors import CheckpointError
from lisa_ros.model.checkpoint import load

TINY = Path(__file__).parents[1] / "golden" / "c_tiny"
SAM = json.loads((TINY / "oracle_meta.json").read_text())["sam"]
WEIGHTS = "pytorch_model.bin"


def copy_of(name: str, place: Path) -> Path:
    """A copy of `lisa_hf` or `clip_tiny`, to be changed."""
    return Path(shutil.copytree(TINY / name, place / name))


def change_json(path: Path, remove=(), **values) -> None:
    """Keys of a JSON file set and removed."""
    content = {key: value for key, value in json.loads(path.read_text()).items() if key not in remove}
    path.write_text(json.dumps(content | values))


def stored_weights(directory: Path = TINY / "lisa_hf") -> dict:
    return torch.load(directory / WEIGHTS, weights_only=True)


def load_tiny(directory=TINY / "lisa_hf", **arguments):
    return load(directory, **{"vision_tower": TINY / "clip_tiny", "sam": SAM, **arguments})


def refusal(directory, **arguments) -> str:
    """The message with which a checkpoint is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_tiny(directory, **arguments)
    return str(caught.value)
