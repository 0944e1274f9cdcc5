"""Folders that are taken for a LISA, or for the LLaVA that one begins with, and are something else: what to give."""

from collections.abc import Mapping
from pathlib import Path

from lisa_ros.errors import CheckpointError

_V0_FILES = ("pytorch_model-visual_model.bin", "pytorch_model-text_hidden_fcs.bin")
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "non_lora_trainables.bin")
_LANGUAGE_MODELS = ("llava", "llava_llama", "llama", None)
_ORIGINAL = "liuhaotian/llava-v1.5-7b"


def explain_layout(values: Mapping[str, object], directory: Path) -> str:
    """A sentence on what a folder with config.json's `values` is, and what to give instead; "" for nothing known."""
    if found := [name for name in _V0_FILES if (directory / name).is_file()]:
        return (
            f"It is a LISA v0: its mask decoder is in files of its own ({', '.join(found)}), and it was trained with "
            "another prompt. Give a v1, as xinlai/LISA-7B-v1 or xinlai/LISA-13B-llama2-v1"
        )
    if found := [name for name in _ADAPTER_FILES if (directory / name).is_file()]:
        return (
            f"It holds an adapter ({', '.join(found)}) that is not merged into its base model. Merge it first, with "
            "the program that trained it, or move these files away if the weights beside them are already merged"
        )
    if (directory / "latest").is_file() and list(directory.glob("global_step*")):
        return (
            "It is DeepSpeed's state of a run. Give with base=PATH the LLaVA that it began with, as "
            "LLaVA-Lightning-7B-v1 for LLM-Seg; of another system make one file of it with its "
            "zero_to_fp32.py first"
        )
    if values.get("text_config") is not None:
        return (
            f"It is a {values.get('model_type', 'llava')} in the layout of transformers (as llava-hf's), whose weights "
            f"have other names. Give the original one, as {_ORIGINAL}"
        )
    if values.get("model_type") not in _LANGUAGE_MODELS:
        return (
            f"It is a model of type {values['model_type']!r}, whose language model is not LLaMA. Give one of LLaMA or "
            f"Vicuna, as {_ORIGINAL}"
        )
    return ""


def check_layout(values: Mapping[str, object], directory: Path) -> None:
    """Raises CheckpointError where a folder is known to be of another layout than the published one."""
    if sentence := explain_layout(values, directory):
        raise CheckpointError(f"{directory} is not a checkpoint in the published layout. {sentence}")
