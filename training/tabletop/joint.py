"""Stage 3 of the tabletop recipe: the whole small LISA on questions about scenes, with LISA's losses.

Besides LISA's losses, two heads that are thrown away keep the small model on course: the dense head of stage 1, and a
pointing head, which asks of the states that begin the answer and that predict [SEG] where the target lies.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.saving import save_pretrained
from training.errors import TrainingError
from training.model.losses import mask_losses, soft_iou
from training.tabletop.config import JointStageConfig, TabletopTrainConfig
from training.tabletop.distributed import start_stage
from training.tabletop.language_losses import PointingHead, language_losses
from training.tabletop.loop import LoopOptions, fit
from training.tabletop.precision import fast_matrices
from training.tabletop.questions import (
    QuestionBatch,
    QuestionCollator,
    lisa_config,
    question_stream,
    tokenizer_of,
    word_ids,
)
from training.tabletop.stage_transition import initialise_from_checkpoint, initialise_from_stages
from training.tabletop.tokenizer import copy_tokenizer
from training.tabletop.vision import DenseHead

MASKS_PER_SCENE = 5  # decoded a step; every answer trains the language model all the same
DENSE_WEIGHT = 0.5
FIRST_SCENE, FIRST_HEAD_SCENE = 10_000_000, 19_000_000  # scenes that the other stages do not see
AVERAGE = 0.9  # share that the running average of the weights keeps every few steps
HEAD_STEPS, HEAD_LR = 120, 3e-3  # of the helper heads by themselves, behind a checkpoint's weights


class TabletopStage(nn.Module):
    """LisaNetwork with the two helper heads."""

    def __init__(self, config: TabletopTrainConfig, words: list[int]) -> None:
        super().__init__()
        network_config = lisa_config(config)
        self.network = LisaNetwork(network_config)
        self.network.set_attention("eager")
        self.dense = DenseHead(network_config.sam)
        self.pointing = PointingHead(network_config.hidden_size)
        self.trains_encoder = config.tabletop.encoder_lr_scale > 0
        self.register_buffer("words", torch.tensor(words), persistent=False)
        self.train()

    def train(self, mode: bool = True) -> "TabletopStage":
        """As nn.Module's; an image encoder that is not trained stays as it is when it is used."""
        super().train(mode)
        if not self.trains_encoder:
            self.network.sam.image_encoder.eval()  # the norms of its stem have running statistics
        return self

    def losses(self, batch: QuestionBatch, rng: np.random.Generator) -> dict[str, Tensor]:
        """LISA's losses and those of the helper heads."""
        network = self.network
        with torch.set_grad_enabled(self.trains_encoder and torch.is_grad_enabled()):
            embedding, maps = network.sam.image_encoder(batch.scenes.images)
        features = network.sam.features_of(embedding, maps)
        visual = network.visual_tokens(features, None)
        hidden, losses = language_losses(network, self.words, self.pointing, batch, visual)
        masked, iou = self._mask_losses(features, hidden, batch, rng)
        losses |= {"loss": losses["loss"] + masked, "mask": masked.detach(), "iou": iou}
        if not self.trains_encoder:
            return losses
        dense, miou = self.dense.loss(embedding, maps, batch.scenes)
        return losses | {"loss": losses["loss"] + DENSE_WEIGHT * dense, "dense": dense.detach(), "miou": miou}

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


def train(config: TabletopTrainConfig, base: Path | None = None) -> None:
    """Runs or resumes stage 3; the state is in `run_dir/tabletop/last.pt`.

    base: checkpoint directory to begin with, in place of what stages 1 and 2 left. The helper heads, which no
    checkpoint holds, are then learnt anew first, with everything else held.
    """
    start_stage()
    options = config.tabletop
    if base is not None:
        copy_tokenizer(base, config.run_dir / "tokenizer")
    tokenizer = tokenizer_of(config)
    collator = QuestionCollator(tokenizer)
    stage = TabletopStage(config, word_ids(tokenizer))
    cells = stage.network.config.sam.grid_size**2

    def run(directory: Path, first_scene: int, loop: LoopOptions, lr_scale: Callable[[str], float]) -> None:
        def losses(item: tuple[QuestionBatch, np.random.Generator]) -> dict[str, Tensor]:
            with fast_matrices(next(stage.parameters()).device):
                return stage.losses(*item)

        fit(stage, question_stream(collator, options, cells, 23, first_scene), losses, loop, directory, lr_scale)

    if not (config.run_dir / "tabletop" / "last.pt").exists():
        if base is None:
            initialise_from_stages(
                stage.network, {"dense": stage.dense, "pointing": stage.pointing}, tokenizer, config.run_dir
            )
        else:
            initialise_from_checkpoint(stage.network, base)
            heads = LoopOptions(steps=HEAD_STEPS, lr=HEAD_LR, warmup=5)
            stage.eval()  # the encoder's statistics stay
            run(config.run_dir / "heads", FIRST_HEAD_SCENE, heads, lambda name: float(not name.startswith("network.")))
            stage.train()
    run(
        config.run_dir / "tabletop",
        FIRST_SCENE,
        LoopOptions(steps=options.steps, lr=options.lr, average=AVERAGE),
        lambda name: _lr_scale(name, options),
    )


def _lr_scale(name: str, options: JointStageConfig) -> float:
    """Factor of a parameter's learning rate."""
    if "image_encoder" in name or name.startswith("dense"):
        return options.encoder_lr_scale
    return options.decoder_lr_scale if "visual_model" in name else 1.0


def export(config: TabletopTrainConfig, out: Path) -> None:
    """Writes the trained model as a checkpoint directory that `Lisa.from_pretrained` loads, over one that is there.

    Its weights are the running average of those of the last steps.
    """
    checkpoint = config.run_dir / "tabletop" / "last.pt"
    if not checkpoint.exists():
        raise TrainingError(f"{checkpoint} is missing: run `python -m training tabletop` first")
    stage = TabletopStage(config, word_ids(tokenizer_of(config)))
    stage.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["average"])
    save_pretrained(stage.network, config.run_dir / "tokenizer", out, torch.float16)
