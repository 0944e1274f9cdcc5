"""LISA with random weights, to be trained or asked, in several sizes: "7b" and "13b" have the published shapes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel

from lisa_ros.inference.compiled_step import compiled_step
from lisa_ros.inference.engine import Lisa
from lisa_ros.inference.loaded_model import LoadedModel
from lisa_ros.inference.precision import PACKED, float_type, place
from lisa_ros.model.checkpoint import Checkpoint
from lisa_ros.model.config import LisaConfig
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.preprocess import ClipPreprocessor
from lisa_ros.model.sam_config import SamConfig
from lisa_ros.model.saving import TOKENIZER_FILES
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.model.vision import ClipTower
from training.config.sections import LoraConfig
from training.model.lora import prepare
from training.model.objective import LisaObjective

# language model, image encoder, CLIP tower
SIZES = {
    "tiny": (
        {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
        {"embed_dim": 32, "depth": 2, "num_heads": 2, "global_attn_indexes": (1,), "image_size": 128},
        {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2},
    ),
    "medium": (
        {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8, "num_attention_heads": 8},
        {"embed_dim": 384, "depth": 8, "num_heads": 6, "global_attn_indexes": (1, 3, 5, 7), "image_size": 512},
        {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 8, "num_attention_heads": 6},
    ),
    "small": (
        {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8, "num_attention_heads": 8},
        {"embed_dim": 768, "depth": 12, "num_heads": 12, "global_attn_indexes": (2, 5, 8, 11)},
        {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8},
    ),
    "7b": (
        {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
        {},
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
    ),
    "13b": (
        {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40},
        {},
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
    ),
}
GPU_SIZES = ("7b", "13b")  # that no CPU computes in reasonable time
VOCABULARY = 32003
TOKENIZER = Path(__file__).resolve().parent.parent / "tests" / "golden" / "c_tiny" / "lisa_hf"
_FLOAT32 = ("text_hidden_fcs", "mask_decoder", "prompt_encoder", "neck")  # as a checkpoint is loaded


def random_network(size: str, device: torch.device, dtype: torch.dtype) -> LisaNetwork:
    """The network with weights of `dtype`; Segment Anything's positions, which start at zero, are random too."""
    llama, sam, clip = SIZES[size]
    config = LisaConfig(**llama, vocab_size=VOCABULARY, sam=SamConfig(**sam), mm_hidden_size=clip["hidden_size"])
    torch.set_default_dtype(dtype)
    try:
        with device:
            vision = CLIPVisionModel(CLIPVisionConfig(**clip, image_size=224, patch_size=14))
            network = LisaNetwork(config, ClipTower(vision, -2, ClipPreprocessor(224, 224)))
    finally:
        torch.set_default_dtype(torch.float32)
    for name, parameter in network.sam.image_encoder.named_parameters():
        if name == "pos_embed" or "rel_pos" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return network


def random_engine(size: str, device: torch.device, precision: str, compile: str = "never") -> Lisa:
    """An engine as `Lisa.from_pretrained` makes it, around random weights."""
    dtype = float_type(precision, device)
    network = random_network(size, device, dtype).eval().requires_grad_(False)
    for name, module in network.named_modules():
        if name.rpartition(".")[2] in _FLOAT32:
            module.float()
    if precision in PACKED:
        network.model.layers.to("cpu")  # from where they are packed, as a checkpoint's
    place(network, precision, dtype, device)
    checkpoint = Checkpoint(network, LisaTokenizer.from_directory(TOKENIZER), TOKENIZER)
    model = LoadedModel(checkpoint, device=device, precision=precision, name=f"random {size}")
    model.compiled = compiled_step(network, compile, precision=precision, device=device)
    return Lisa(model)


def save_random(size: str, out: Path, dtype: torch.dtype, shard_bytes: int) -> dict[str, int]:
    """Writes a checkpoint with random weights in the layout of the published ones, shard by shard.

    Args:
        size: One of SIZES.
        out: Folder of the checkpoint, which is made; its CLIP tower comes to `clip` in it.
        dtype: Of the stored weights.
        shard_bytes: Largest shard, unless one weight alone is larger.

    Returns:
        Bytes of each shard by its name.
    """
    network = random_network(size, torch.device("meta"), dtype)
    config = replace(network.config, vision_tower=str(out.resolve() / "clip"))
    shards, filled = [[]], 0
    for key, value in network.state_dict().items():
        if key.startswith("vision_tower."):
            continue
        if filled and filled + value.nbytes > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append((key, value))
        filled += value.nbytes
    out.mkdir(parents=True, exist_ok=True)
    sizes, places = {}, {}
    for number, shard in enumerate(shards, 1):
        name = f"pytorch_model-{number:05d}-of-{len(shards):05d}.bin"
        torch.save({key: _small_random(value, dtype) for key, value in shard}, out / name)
        sizes[name] = (out / name).stat().st_size
        places |= {key: name for key, _ in shard}
    (out / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    (out / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    for name in TOKENIZER_FILES:
        shutil.copyfile(TOKENIZER / name, out / name)
    clip = CLIPVisionModel(CLIPVisionConfig(**SIZES[size][2], image_size=224, patch_size=14))
    clip.to(dtype).save_pretrained(out / "clip")
    return sizes


def _small_random(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Random bits of normal size; a million of them are repeated, as making them takes longer than writing."""
    some = torch.randn(1 << 20).mul_(0.02).to(dtype)
    return some.repeat(-(-value.numel() // len(some)))[: value.numel()].view(value.shape).clone()


def build(size: str, device: torch.device, dtype: torch.dtype) -> LisaObjective:
    """Random weights, adapters and the published trained set. dtype: of frozen weights; trained ones are float32."""
    network = random_network(size, device, dtype)
    prepare(network, LoraConfig(), ("lm_head", "embed_tokens", "mask_decoder", "text_hidden_fcs"))
    network.model.activation_checkpointing_enable({"use_reentrant": False})
    return LisaObjective(network).to(device).train()
