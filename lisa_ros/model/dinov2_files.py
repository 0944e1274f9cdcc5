"""DINOv2's weights for a checkpoint that does not hold them, as one that was saved without its frozen parts."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lisa_ros.errors import CheckpointError
from lisa_ros.model.files import expand_home
from lisa_ros.model.proposal_config import DINO
from lisa_ros.model.weights import read_weight_file

PUBLISHED_DINOV2 = "dinov2_vitl14_pretrain.pth"
_SOURCE = f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/{PUBLISHED_DINOV2}"


def with_dinov2(weights: Mapping[str, Tensor], source: Path, given: str | Path | None) -> Mapping[str, Tensor]:
    """The weights with those of DINOv2: their own, else of the file `given`, else of the published one beside them.

    Raises CheckpointError that names the file, where it comes from and where to put it.
    """
    if any(key.startswith(DINO) for key in weights):
        return weights
    beside = (source if source.is_dir() else source.parent) / PUBLISHED_DINOV2
    path = Path(expand_home(given)) if given else beside
    if not path.is_file():
        raise CheckpointError(
            f"{source} holds no weights of DINOv2, and there is no file {path}. Download {_SOURCE} and put it at "
            f"{beside}, or give its place with dinov2=PATH (--dinov2 PATH)"
        )
    return {**weights, **{f"{DINO}{key}": value for key, value in read_weight_file(path).items()}}
