"""LoRA of ELISA, in and out of its .pth file."""

from collections.abc import Mapping

import peft
import torch
from torch import Tensor, nn

from lisa_ros.errors import CheckpointError
from lisa_ros.model.elisa.checkpoint import ALPHA_PER_RANK, lora_weights, official_key
from lisa_ros.model.elisa.network import ElisaNetwork

ADAPTER_NAME = "default"
TARGETS = ("q_proj", "v_proj")  # of the language model and of CLIP; the official third one names no layer


def prepare_elisa(network: ElisaNetwork, rank: int) -> None:
    """Adds LoRA in place, and lets exactly it and the mask adapters learn, in float32."""
    config = peft.LoraConfig(r=rank, lora_alpha=ALPHA_PER_RANK * rank, target_modules=list(TARGETS), bias="none")
    network.requires_grad_(False)
    peft.inject_adapter_in_model(config, network.llava, ADAPTER_NAME)
    for group in parameter_groups(network).values():
        for parameter in group:
            parameter.requires_grad_(True)
            parameter.data = parameter.data.float()


def parameter_groups(network: ElisaNetwork) -> dict[str, list[nn.Parameter]]:
    """What learns: "adapter" and "lora"."""
    named = list(network.named_parameters())
    return {
        "adapter": [parameter for name, parameter in named if name.startswith(("adapter.", "head_adapter."))],
        "lora": [parameter for name, parameter in named if ".lora_" in name],
    }


def load_lora(network: ElisaNetwork, weights: Mapping[str, Tensor], source: object) -> None:
    """Copies the LoRA of a .pth file into a prepared network. Raises CheckpointError where it does not fit."""
    own = {name: parameter for name, parameter in network.llava.named_parameters() if ".lora_" in name}
    expected = {name.replace(".base_layer.", "."): value for name, value in network.llava.state_dict().items()}
    found = {}
    for layer, (a, b) in lora_weights(weights, expected).items():
        found[f"{layer}.lora_A.{ADAPTER_NAME}.weight"], found[f"{layer}.lora_B.{ADAPTER_NAME}.weight"] = a, b
    different = {name for name in own.keys() | found.keys() if name not in own or name not in found}
    different |= {name for name in own.keys() & found.keys() if own[name].shape != found[name].shape}
    if different:
        raise CheckpointError(f"{source}: {len(different)} LoRA weights differ, {sorted(different)[0]} among them")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(found[name])


def published_elisa_weights(network: ElisaNetwork) -> dict[str, Tensor]:
    """The network in the layout of ELISA's .pth files."""
    weights = {}
    for name, value in network.state_dict().items():
        key = official_key(name.removeprefix("llava.")) if name.startswith("llava.") else name
        weights[key] = value.detach().cpu().contiguous()
    return weights
