"""LoRA on the language model's attention, the set of trained parameters, and the official checkpoint layouts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import peft
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.unmerged import PREFIX
from lisa_ros.model.weights import check_weights
from training.config.sections import LoraConfig

ADAPTER = "default"
_NEVER_ADAPTED = ("visual_model", "vision_tower", "mm_projector", "text_hidden_fcs", "lisa_")
# What published merged checkpoints hold in float32 whatever the rest has.
_FLOAT32 = ("model.visual_model.", "model.text_hidden_fcs.", "model.lisa_")


def target_modules(network: LisaNetwork, targets: Sequence[str]) -> list[str]:
    """Names of the language model's linear layers that get an adapter.

    Raises ConfigurationError where a target fits no layer, or there are no targets.
    """
    linear = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and not any(part in name for part in _NEVER_ADAPTED)
    ]
    kinds = sorted({name.split(".")[-1] for name in linear})
    unknown = [target for target in targets if target not in kinds]
    if unknown or not targets:
        raise ConfigurationError(
            f"lora.targets: {', '.join(map(repr, unknown)) or 'the empty list'} names no linear layer of the language "
            f"model; there are {', '.join(kinds)}"
        )
    return [name for name in linear if name.split(".")[-1] in targets]


def prepare(network: LisaNetwork, lora: LoraConfig, trainable: Sequence[str]) -> None:
    """Adds the adapters, in place, and lets exactly them and the parameters named in `trainable` learn.

    trainable: parts of parameter names, as "mask_decoder". Trained parameters become float32, frozen ones keep their
    type. Raises ConfigurationError where a name fits no parameter.
    """
    if lora.r:
        adapters = peft.LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            bias="none",
            target_modules=target_modules(network, lora.targets),
        )
        peft.inject_adapter_in_model(adapters, network, ADAPTER)
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]  # a tied lm_head has a name too
    for part in trainable:
        if not any(part in name for name in names):
            raise ConfigurationError(f"trainable: {part!r} is in no parameter's name")
    for name, parameter in network.named_parameters():
        learns = ".lora_" in name or any(part in name for part in trainable)
        parameter.requires_grad_(learns)
        if learns:
            parameter.data = parameter.data.float()


def official_key(name: str) -> str:
    """A parameter's name in an un-merged official checkpoint."""
    name = name.replace(".base_layer.", ".")
    if name.startswith("vision_tower.model."):
        name = "model.vision_tower.vision_tower.vision_model." + name.removeprefix("vision_tower.model.")
    return PREFIX + name


def unmerged_weights(network: LisaNetwork) -> dict[str, Tensor]:
    """The network with its adapters in the layout of official checkpoints before the merge."""
    return {official_key(name): value.detach().cpu() for name, value in network.state_dict().items()}


def load_unmerged(network: LisaNetwork, weights: Mapping[str, Tensor], source: object) -> None:
    """Copies an un-merged official checkpoint into a network with adapters. Raises CheckpointError naming what differs.

    A vision tower in it that is not the one of the tower's own files, beyond rounding, takes its place.
    """
    if not any(key.startswith(PREFIX) for key in weights):
        raise CheckpointError(f"{source} is not an un-merged checkpoint: no key begins with {PREFIX}")
    expected = {official_key(name): value for name, value in network.state_dict().items() if not _is_tower(name)}
    for key, value in expected.items():
        if ".lora_A." in key and key in weights and len(weights[key]) != len(value):
            raise CheckpointError(f"the adapters in {source} have rank {len(weights[key])}, lora.r is {len(value)}")
    check_weights(weights, expected, [key for key in weights if "vision_tower." in key or "inv_freq" in key], source)
    with torch.no_grad():
        for key, value in expected.items():
            value.copy_(weights[key])
    if network.vision_tower is not None and network.vision_tower.adopt(weights, source):
        network.config = replace(network.config, unfreeze_mm_vision_tower=True)


def _is_tower(name: str) -> bool:
    return name.startswith("vision_tower.")


def merged_weights(network: LisaNetwork, dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights of the published layout: each adapter added to its layer, an unchanged vision tower left out.

    dtype: of the language model and projector; Segment Anything and the text projection are float32, as published.
    Raises ConfigurationError for a quantised network: load its base unquantised to merge.
    """
    adapted = {name: module for name, module in network.named_modules() if isinstance(module, LoraLayer)}
    weights = {}
    for name, value in network.state_dict().items():
        if _is_tower(name) or ".lora_" in name:
            continue
        if (name == "lm_head.weight") and network.config.tie_word_embeddings:
            continue
        owner = name.removesuffix(".base_layer.weight")
        if owner in adapted and owner != name:
            value = _merged(adapted[owner], value)
        kind = torch.float32 if name.startswith(_FLOAT32) else dtype
        value = value.detach().to("cpu", kind if value.is_floating_point() else None)
        weights[name.replace(".base_layer.", ".")] = value.contiguous()
    if network.config.unfreeze_mm_vision_tower:
        tower = network.vision_tower.published_weights()
        weights |= {key: value.detach().to("cpu", dtype).contiguous() for key, value in tower.items()}
    return weights


def _merged(layer: LoraLayer, weight: Tensor) -> Tensor:
    if not weight.is_floating_point():
        raise ConfigurationError("a quantised network cannot be merged; load its base unquantised and merge into that")
    a, b = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
    # Rounded once: the sum is taken in float32, then stored in the type of the layer.
    return (weight.float() + (b @ a).float() * layer.scaling[ADAPTER]).to(weight.dtype)
