"""The network of a run: base, adapters, number formats; and the collator and cache that fit it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from lisa_ros.errors import ConfigurationError
from lisa_ros.inference.precision import quantize
from lisa_ros.model.checkpoint import Checkpoint
from lisa_ros.model.network import LisaNetwork
from training.config.train_config import TrainConfig
from training.data.collate import Collator
from training.data.feature_cache import FeatureCache, hash_of_weights
from training.model.base import load_base
from training.model.identity import identity_of
from training.model.lora import prepare

TOKENIZER_DIR = "tokenizer"
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class BaseCheckpoint(Checkpoint):
    """A run's network as it begins. identity: what its checkpoints belong to (training.model.identity)."""

    identity: Mapping[str, object]


def build(
    config: TrainConfig, device: torch.device, *, quantized: bool = True, identified: bool = True
) -> BaseCheckpoint:
    """The run's network on the CPU with adapters, ready to train. Raises LisaError.

    quantized: False to merge. identified: False where `identity` is not needed, {} then.
    """
    dtype = _DTYPES[config.devices.precision]
    checkpoint = load_base(config.model, config.run_dir / TOKENIZER_DIR, dtype, config.seed)
    network = checkpoint.network
    identity = identity_of(checkpoint, config) if identified else {}
    if quantized and config.devices.quantization == "nf4":
        quantize_base(network, dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # of the adapters' first values
        prepare(network, config.lora, config.trainable)
    _check_trained(network, config)
    if config.devices.gradient_checkpointing:
        network.model.activation_checkpointing_enable({"use_reentrant": False})
    network.set_attention("eager" if device.type == "cpu" else "sdpa")
    return BaseCheckpoint(network, checkpoint.tokenizer, checkpoint.directory, identity)


def quantize_base(network: LisaNetwork, dtype: torch.dtype) -> None:
    """Makes the language model's linear layers 4-bit (NF4), in place, before adapters are added; moving packs them.

    Raises ConfigurationError without bitsandbytes.
    """
    quantize(network, "nf4", dtype)
    network.is_loaded_in_4bit = True  # what peft looks for to put its adapters on 4-bit layers


def _check_trained(network: LisaNetwork, config: TrainConfig) -> None:
    trained = trained_weights(network)
    if tower := [name for name in trained if name.startswith("vision_tower.")]:
        raise ConfigurationError(
            f"trainable lets the vision tower learn ({tower[0]}), which stays as it is here; name other parts"
        )
    if config.cache.directory and network.style.chooses:
        raise ConfigurationError(
            f"cache.directory is set, but style {network.style.name} asks nothing of Segment Anything in training; "
            "set it to null"
        )
    if config.cache.directory and (encoder := [name for name in trained if "image_encoder" in name]):
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


def collator_of(checkpoint: Checkpoint, config: TrainConfig, max_length: int | None = None) -> Collator:
    """The collator for the run's network. max_length: in place of the configuration's."""
    network = checkpoint.network
    return Collator(
        checkpoint.tokenizer,
        network.config,
        visual_tokens=visual_tokens(network),
        clip=None if network.vision_tower is None else network.vision_tower.preprocess,
        max_length=max_length or config.batch.max_length,
        use_ignore=config.batch.ignore_regions,
    )


def cache_of(network: LisaNetwork, config: TrainConfig, world_size: int) -> FeatureCache | None:
    """The feature cache of the run's image encoder, None where the configuration names no directory.

    world_size: processes that share its limit.
    """
    if config.cache.directory is None:
        return None
    encoder = hash_of_weights(network.sam.image_encoder.state_dict(), config.devices.precision)
    return FeatureCache(Path(config.cache.directory), encoder, int(config.cache.limit_gb * 1e9 / world_size))


def trained_weights(network: LisaNetwork) -> dict[str, torch.Tensor]:
    """The parameters that learn, by name, as they are (not copied)."""
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
