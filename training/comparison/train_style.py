"""One style is trained: language model and mask decoder on the frozen image encoder, with LISA's losses."""

import json
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from lisa_ros.model.grounding import TARGET_KINDS
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.sam import SamFeatures
from lisa_ros.model.saving import save_pretrained
from lisa_ros.types import SEG
from training.comparison.config import ComparisonBase
from training.comparison.questions import PhraseBatch, PhraseCollator, phrase_batches
from training.comparison.starting_point import restyled
from training.model.losses import answer_loss, mask_losses, soft_iou
from training.tabletop.loop import fit
from training.tabletop.packing import IGNORE_INDEX, PackedBatch

SAVE_EVERY = 24


def packed_states(network: LisaNetwork, packed: PackedBatch, features: SamFeatures) -> Tensor:
    """The last hidden states (n, length, hidden_size) of packed conversations about images with `features`."""
    first, last = packed.visual
    inputs = network.embed(packed.ids)
    inputs = torch.cat([inputs[:, :first], network.visual_tokens(features, None), inputs[:, last:]], dim=1)
    return network.hidden_states(
        inputs, attention_mask=packed.attention_mask(inputs.dtype), position_ids=packed.positions
    )


class StyleStage(nn.Module):
    """A network with the losses of a batch of packed phrases."""

    def __init__(self, network: LisaNetwork) -> None:
        super().__init__()
        self.network = network
        self.network.set_attention("eager")
        self._clock = time.process_time()

    def losses(self, batch: PhraseBatch) -> dict[str, Tensor]:
        """LISA's losses, and for the log how much of the answers is right and the core seconds since the last call."""
        network, packed = self.network, batch.packed
        with torch.no_grad():
            features = network.encode_image(batch.images)
        hidden = packed_states(network, packed, features)
        learnt = packed.labels != IGNORE_INDEX
        logits, labels = network.logits(hidden[learnt]), packed.labels[learnt]
        answer, (fine, truth) = answer_loss(logits, labels), self._masks(hidden, features, batch)
        masked = mask_losses(fine, truth).total
        began, self._clock = self._clock, time.process_time()
        return {
            "loss": answer + masked,
            "answer": answer.detach(),
            "token_accuracy": (logits.argmax(-1) == labels).float().mean(),
            "mask": masked.detach(),
            "iou": soft_iou(fine.detach(), truth).mean(),
            "core_seconds": torch.tensor(self._clock - began),
        }

    def _masks(self, hidden: Tensor, features: object, batch: PhraseBatch) -> tuple[Tensor, Tensor]:
        """Mask logits of all targets that answers show, and the truth, both (n, 48, 64)."""
        embeddings = self.network.head.embed(hidden[batch.events[:, 0], batch.events[:, 1]])
        logits, truth = [], []
        for image, part in enumerate(embeddings.split([len(kinds) for kinds in batch.kinds])):
            kinds, masks = batch.kinds[image], batch.masks[image]
            found = self.network.head.decode_targets(features.select(slice(image, image + 1)), part, kinds).logits
            shown = torch.tensor([kind == SEG for kind in kinds if kind in TARGET_KINDS], dtype=torch.bool)
            logits.append(found[shown, 0, : masks.shape[1]])
            truth.append(masks[shown])
        return torch.cat(logits), torch.cat(truth)


def train_style(config: ComparisonBase, style: str, name: str | None = None) -> Path:
    """Trains or resumes one style; returns the directory of its checkpoint, in `run_dir/<name or style>`."""
    directory = config.run_dir / (name or style)
    out = directory / "checkpoint"
    checkpoint = restyled(config.source, style, directory / "tokenizer")
    collator = PhraseCollator(checkpoint, config.world.phrases_per_question)
    stage = StyleStage(checkpoint.network)
    fit(
        stage,
        lambda first_step: phrase_batches(config, collator, first_step),
        stage.losses,
        config.training.loop(SAVE_EVERY),
        directory,
        lambda name: 0.0 if "image_encoder" in name else 1.0,
    )
    save_pretrained(stage.network, checkpoint.directory, out)
    return out


def core_seconds(log: Path) -> float:
    """Core seconds of a style's training, by its log; steps that were repeated after an interruption count once."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return sum({line["step"]: line["core_seconds"] for line in lines}.values())
