"""The network of a run: base, adapters, number formats; and the collator and cache that fit it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.checkpoint import Checkpoint
from lisa_ros.model.network import LisaNetwork
from training.base import load_base
from training.collate import Collator
from training.feature_cache import FeatureCache, hash_of_weights
from training.identity import identity_of
from training.lora import prepare
from training.quantized import quantize_base
from training.settings import Settings

TOKENIZER_DIR = "tokenizer"
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class RunCheckpoint(Checkpoint):
    """A run's network as it begins. identity: what its checkpoints belong to (training.identity)."""

    identity: Mapping[str, object]


def build(
    settings: Settings, device: torch.device, *, quantized: bool = True, identified: bool = True
) -> RunCheckpoint:
    """The run's network on the CPU with adapters, ready to train. Raises LisaError.

    quantized: False to merge. identified: False where `identity` is not needed, {} then.
    """
    dtype = _DTYPES[settings.devices.precision]
    checkpoint = load_base(settings.model, settings.run_dir / TOKENIZER_DIR, dtype, settings.seed)
    network = checkpoint.network
    identity = identity_of(checkpoint, settings) if identified else {}
    if quantized and settings.devices.quantization == "nf4":
        quantize_base(network, dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # of the adapters' first values
        prepare(network, settings.lora, settings.trainable)
    _check_trained(network, settings)
    if settings.devices.gradient_checkpointing:
        network.model.activation_checkpointing_enable({"use_reentrant": False})
    network.set_attention("eager" if device.type == "cpu" else "sdpa")
    return RunCheckpoint(network, checkpoint.tokenizer, checkpoint.directory, identity)


def _check_trained(network: LisaNetwork, settings: Settings) -> None:
    trained = trained_weights(network)
    if tower := [name for name in trained if name.startswith("vision_tower.")]:
        raise ConfigurationError(
            f"trainable lets the vision tower learn ({tower[0]}), which stays as it is here; name other parts"
        )
    if settings.cache.directory and (encoder := [name for name in trained if "image_encoder" in name]):
        raise ConfigurationError(
            f"cache.directory is set, but trainable lets the image encoder learn ({encoder[0]}), whose features then "
            "change; name other parts, or set cache.directory to null"
        )


def visual_tokens(network: LisaNetwork) -> int:
    """Visual tokens of one image."""
    if network.config.shares_image_encoder:
        return network.config.sam.grid_size**2
    vision = network.vision_tower.model.config
    return (vision.image_size // vision.patch_size) ** 2


def collator_of(checkpoint: Checkpoint, settings: Settings, max_length: int | None = None) -> Collator:
    """The collator for the run's network. max_length: in place of the settings'."""
    network = checkpoint.network
    return Collator(
        checkpoint.tokenizer,
        network.config,
        visual_tokens=visual_tokens(network),
        clip=None if network.vision_tower is None else network.vision_tower.preprocess,
        max_length=max_length or settings.batch.max_length,
        use_ignore=settings.batch.ignore_regions,
    )


def cache_of(network: LisaNetwork, settings: Settings, world: int) -> FeatureCache | None:
    """The feature cache of the run's image encoder, None if the settings want none. world: processes that share it."""
    if settings.cache.directory is None:
        return None
    encoder = hash_of_weights(network.sam.image_encoder.state_dict(), settings.devices.precision)
    return FeatureCache(Path(settings.cache.directory), encoder, int(settings.cache.limit_gb * 1e9 / world))


def trained_weights(network: LisaNetwork) -> dict[str, torch.Tensor]:
    """The parameters that learn, by name, as they are (not copied)."""
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
