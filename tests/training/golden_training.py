"""The reference data of the official training code: its batches, losses, gradients and checkpoints."""

import re
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from golden_variants import GoldenVariant, find_golden

from lisa_ros.model.checkpoint import Checkpoint, load
from lisa_ros.model.unmerged import PREFIX
from lisa_ros.model.weights import read_weight_file, read_weights
from training.config.sections import LoraConfig
from training.data.collate import Collator
from training.data.items import TrainingItem
from training.model.lora import load_unmerged, prepare

ROOT = Path(__file__).resolve().parents[2]
TRAINABLE = ("lm_head", "embed_tokens", "mask_decoder", "text_hidden_fcs")


class Golden(GoldenVariant):
    """One variant. `directory` holds lisa_hf/, clip_tiny/, images/, golden/ and the un-merged adapters."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.name = directory.name

    @cached_property
    def train(self) -> dict:
        return self.json("train")

    @cached_property
    def arrays(self):
        return np.load(self.directory / "golden" / "train.npz")

    def checkpoint(self, **options) -> Checkpoint:
        options = {"sam": self.meta["sam"], "conv_type": self.meta["conv_type"], **options}
        return load(self.directory / "lisa_hf", vision_tower=self.directory / "clip_tiny", **options)

    def lora(self, dropout: float = 0.0) -> LoraConfig:
        return LoraConfig(self.meta["lora"]["r"], self.meta["lora"]["alpha"], dropout)

    def unmerged(self) -> dict[str, torch.Tensor]:
        """The un-merged checkpoint: the whole file, or the merged one with what the merge changed put back."""
        path = self.directory / "lora_pytorch_model.bin"
        if path.exists():
            return read_weight_file(path)
        merged = {PREFIX + key: value for key, value in read_weights(self.directory / "lisa_hf").items()}
        return merged | read_weight_file(self.directory / "lora_unmerged.safetensors")

    def unmerged_checkpoint(self, dropout: float = 0.0) -> Checkpoint:
        """The network with its trained adapters, as the official code had it before the merge."""
        checkpoint = self.checkpoint()
        prepare(checkpoint.network, self.lora(dropout), TRAINABLE)
        load_unmerged(checkpoint.network, self.unmerged(), self.directory)
        return checkpoint

    def collator(self, checkpoint: Checkpoint, **options) -> Collator:
        tower = checkpoint.network.vision_tower
        options = {"visual_tokens": self.meta["num_image_tokens"], "max_length": 1024, "use_ignore": False, **options}
        return Collator(checkpoint.tokenizer, checkpoint.network.config, clip=tower.preprocess, **options)

    def items(self, case: str) -> list[TrainingItem]:
        """The items of one golden batch."""
        offset, talks = self.arrays[f"{case}/offset"], self.train[case]["conversation_list"]
        return [
            TrainingItem(
                image=self.image(index),
                conversations=tuple(turns_of(talk) for talk in talks[offset[number] : offset[number + 1]]),
                masks=self.arrays[f"{case}/gt_masks_{number}"].astype(bool),
                ignore=None,
                source="golden",
                key=f"{case}/{number}",
            )
            for number, index in enumerate(self.train[case]["images"])
        ]


def turns_of(prompt: str) -> tuple[tuple[str, str], ...]:
    """The turns of a rendered llava_v1 conversation, without what stands for the image."""
    turns = re.findall(r"USER: (.*?) ASSISTANT: (.*?)</s>", prompt, re.DOTALL)
    return tuple((question.removeprefix("<im_start><image><im_end>\n"), answer) for question, answer in turns)


VARIANTS = [Golden(directory) for directory in find_golden(None)]
TINY = Golden(ROOT / "tests" / "golden" / "c_tiny")
