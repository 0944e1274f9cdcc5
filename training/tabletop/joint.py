"""Stage 3 of the tabletop recipe: the whole small LISA on questions about scenes, with LISA's losses.

Besides LISA's losses, two heads that are thrown away keep the small model on course: the dense head of stage 1, and a
pointing head, which asks of the states that begin the answer and that predict [SEG] where the target lies.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.saving import save_pretrained
from training.errors import TrainingError
from training.model.losses import mask_losses, soft_iou
from training.tabletop.config import TabletopTrainConfig
from training.tabletop.distributed import start_stage
from training.tabletop.language_losses import PointingHead, language_losses
from training.tabletop.loop import LoopOptions, fit
from training.tabletop.questions import (
    QuestionBatch,
    QuestionCollator,
    lisa_config,
    question_stream,
    tokenizer_of,
    word_ids,
)
from training.tabletop.stage_transition import initialise_from_stages
from training.tabletop.vision import DenseHead

MASKS_PER_SCENE = 5  # decoded a step; every answer trains the language model all the same
DENSE_WEIGHT = 0.5
FIRST_SCENE = 10_000_000  # scenes that the other stages do not see


class TabletopStage(nn.Module):
    """LisaNetwork with the two helper heads."""

    def __init__(self, config: TabletopTrainConfig, words: list[int]) -> None:
        super().__init__()
        network_config = lisa_config(config)
        self.network = LisaNetwork(network_config)
        self.network.set_attention("eager")
        self.dense = DenseHead(network_config.sam)
        self.pointing = PointingHead(network_config.hidden_size)
        self.register_buffer("words", torch.tensor(words), persistent=False)

    def losses(self, batch: QuestionBatch, rng: np.random.Generator) -> dict[str, Tensor]:
        """LISA's losses and those of the helper heads."""
        network = self.network
        embedding, maps = network.sam.image_encoder(batch.scenes.images)
        features = network.sam.features_of(embedding, maps)
        visual = network.visual_tokens(features, None)
        hidden, losses = language_losses(network, self.words, self.pointing, batch, visual)
        masked, iou = self._mask_losses(features, hidden, batch, rng)
        dense, miou = self.dense.loss(embedding, maps, batch.scenes)
        return {
            **losses,
            "loss": losses["loss"] + masked + DENSE_WEIGHT * dense,
            "mask": masked.detach(),
            "iou": iou,
            "dense": dense.detach(),
            "miou": miou,
        }

    def _mask_losses(
        self, features: object, hidden: Tensor, batch: QuestionBatch, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        count = len(batch.packed.states)
        chosen = torch.from_numpy(rng.permutation(count)[: MASKS_PER_SCENE * len(batch.scenes.scenes)])
        image, position = batch.packed.states[chosen].unbind(1)
        head = self.network.head
        logits = head.decode(features.select(image), head.embed(hidden[image, position]))[:, 0]
        rows = batch.scenes.valid_rows
        logits, truth = logits[:, :rows], batch.targets[batch.packed.masks[chosen]][:, :rows]
        return mask_losses(logits, truth).total, soft_iou(logits.detach(), truth).mean()


def train(config: TabletopTrainConfig) -> None:
    """Runs or resumes stage 3 from what stages 1 and 2 left; the state is in `run_dir/tabletop/last.pt`."""
    start_stage()
    options = config.tabletop
    tokenizer = tokenizer_of(config)
    collator = QuestionCollator(tokenizer)
    stage = TabletopStage(config, word_ids(tokenizer))
    if not (config.run_dir / "tabletop" / "last.pt").exists():
        initialise_from_stages(
            stage.network, {"dense": stage.dense, "pointing": stage.pointing}, tokenizer, config.run_dir
        )
    cells = stage.network.config.sam.grid_size**2
    fit(
        stage,
        question_stream(collator, options, cells, 23, FIRST_SCENE),
        lambda item: stage.losses(*item),
        LoopOptions(steps=options.steps, lr=options.lr),
        config.run_dir / "tabletop",
        lambda name: options.vision_lr_scale if "visual_model" in name or name.startswith("dense") else 1.0,
    )


def export(config: TabletopTrainConfig, out: Path) -> None:
    """Writes the trained model as a checkpoint directory that `Lisa.from_pretrained` loads, over one that is there."""
    checkpoint = config.run_dir / "tabletop" / "last.pt"
    if not checkpoint.exists():
        raise TrainingError(f"{checkpoint} is missing: run `python -m training tabletop` first")
    stage = TabletopStage(config, word_ids(tokenizer_of(config)))
    stage.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    save_pretrained(stage.network, config.run_dir / "tokenizer", out, torch.float16)
