"""SAM's features of images, kept on disk: with a frozen encoder they are the same in every epoch."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.sam import SamFeatures
from lisa_ros.model.saving import write_atomically
from training.errors import TrainingError

_DTYPE = torch.float16


def hash_of_weights(weights: Mapping[str, Tensor], also: str = "") -> str:
    """Names an encoder by its weights (and `also`, as the precision it runs in)."""
    digest = hashlib.blake2b(also.encode(), digest_size=12)
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def hash_of_image(image: np.ndarray) -> str:
    """Names an image by its pixels (H, W, 3) uint8: copies of one picture under several paths share an entry."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


def rounded(features: SamFeatures) -> SamFeatures:
    """Features as they come out of the cache, in float16: a run is the same whether it finds them or computes them."""
    return SamFeatures(features.embedding.to(_DTYPE), tuple(map(lambda x: x.to(_DTYPE), features.high_res)))


class FeatureCache:
    """SAM features on disk: one file per image, written atomically, in directory/<encoder>/.

    Stored features are never dropped: every image is needed once per epoch, so dropping the oldest would drop all of
    them.

    Args:
        directory: Directory of the cache.
        encoder: Name of the image encoder, see `hash_of_weights`.
        limit_bytes: Size limit, beyond which nothing is stored.

    Raises:
        ConfigurationError: If the directory cannot be created.
    """

    def __init__(self, directory: Path, encoder: str, limit_bytes: int) -> None:
        self.directory, self.limit = Path(directory) / encoder, limit_bytes
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"cache.directory {directory} cannot be made: {error.strerror}") from error
        self.used = sum(path.stat().st_size for path in self.directory.rglob("*.safetensors"))

    def _path(self, key: str) -> Path:
        return self.directory / key[:2] / f"{key}.safetensors"

    def get(self, keys: Sequence[str]) -> SamFeatures | None:
        """Features of all the images, in order, in float16; None if one is not there. A damaged file is removed."""
        found = []
        for key in keys:
            try:
                found.append(load_file(self._path(key)))
            except FileNotFoundError:
                return None
            except SafetensorError:
                self._path(key).unlink(missing_ok=True)
                return None
        if not found:
            return None
        maps = sorted(set(found[0]) - {"embedding"})
        return SamFeatures(
            *(
                torch.cat([one["embedding"] for one in found]),
                tuple(torch.cat([one[name] for one in found]) for name in maps),
            )
        )

    def put(self, keys: Sequence[str], features: SamFeatures) -> None:
        """Stores the features of images that are not there yet, until the limit is reached. Raises TrainingError."""
        for index, key in enumerate(keys):
            path = self._path(key)
            if path.exists():
                continue
            parts = {"embedding": features.embedding, **{f"map{i}": m for i, m in enumerate(features.high_res)}}
            tensors = {name: part[index : index + 1].to("cpu", _DTYPE).contiguous() for name, part in parts.items()}
            size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
            if self.used + size > self.limit:
                return
            try:
                path.parent.mkdir(exist_ok=True)
                write_atomically(path, lambda temporary, tensors=tensors: save_file(tensors, temporary))
            except (OSError, SafetensorError) as error:
                raise TrainingError(
                    f"cannot write in cache.directory {self.directory}: {error}; make room, or lower cache.limit_gb"
                ) from error
            self.used += size
