"""Stage 2 of the tabletop recipe: the language model learns to read and to look, on true visual tokens.

The image encoder is not needed yet: a visual token is the sum of the embeddings of the words for what its cell shows
(class and colour, by the share of the cell they cover), beside SAM's positional encoding. Questions and what they ask
for so live in one space from the start, which a small model otherwise finds only after a long plateau. The state that
predicts [SEG] learns the mask prompt that stage 1 used for the same object.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lisa_ros.model.network import LisaNetwork
from training.errors import TrainingError
from training.tabletop.config import TabletopTrainConfig
from training.tabletop.distributed import start_stage
from training.tabletop.language_losses import PointingHead, coverage, language_losses, uncovered
from training.tabletop.loop import LoopOptions, fit
from training.tabletop.questions import (
    QuestionBatch,
    QuestionCollator,
    lisa_config,
    question_stream,
    tokenizer_of,
    word_ids,
)
from training.tabletop.scenes import SceneBatch
from training.tabletop.vision import VisionStage

FIRST_SCENE = 5_000_000  # scenes that the other stages do not see
PROMPT_WEIGHT = 1.0
EMBEDDING_STD = 0.05
POSITION_STD = 0.01  # position must not drown the words at the start
WORD_DROPOUT = 0.04  # share of cells without words, as if the encoder missed an object
NOISE = 0.05  # three times as much hides small objects in the noise, and the model never learns to refuse
ATTENTION_STD = 0.04
COPY_SHARE = 0.3


def attend_to_alike(attention: nn.Module) -> None:
    """Initialises a self-attention so that tokens attend to tokens of like content and copy some of it.

    Equal query and key projections, output projection transposed from the value projection: after "Mimetic
    Initialization of Self-Attention Layers" (arXiv 2305.09828). A word of the question so finds the cells that show it.
    """
    nn.init.normal_(attention.q_proj.weight, std=ATTENTION_STD)
    nn.init.orthogonal_(attention.v_proj.weight)
    with torch.no_grad():
        attention.k_proj.weight.copy_(attention.q_proj.weight)
        attention.o_proj.weight.copy_(COPY_SHARE * attention.v_proj.weight.T)


class LanguageStage(nn.Module):
    """The language model of LisaNetwork with true visual tokens."""

    def __init__(self, config: TabletopTrainConfig, words: list[int]) -> None:
        super().__init__()
        network_config = lisa_config(config)
        self.network = LisaNetwork(network_config)
        self.pointing = PointingHead(network_config.hidden_size)
        self.register_buffer("words", torch.tensor(words), persistent=False)
        width = network_config.sam.prompt_embed_dim
        nn.init.normal_(self.network.model.embed_tokens.weight, std=EMBEDDING_STD)
        nn.init.normal_(self.network.model.mm_projector.weight[:, width:], std=POSITION_STD)
        nn.init.zeros_(self.network.model.mm_projector.bias)
        self.background = nn.Parameter(torch.randn(network_config.hidden_size) * EMBEDDING_STD)
        self.network.set_attention("eager")
        for layer in self.network.model.layers:
            attend_to_alike(layer.self_attn)

    def true_tokens(self, batch: SceneBatch, rng: np.random.Generator) -> Tensor:
        """Visual tokens (B, N, H) of what the cells show, with the faults that an encoder will have."""
        shown = coverage(batch)
        kept = torch.from_numpy(rng.random(shown.shape[:2]) >= WORD_DROPOUT)[..., None]
        noise = torch.from_numpy(rng.standard_normal(shown.shape, dtype=np.float32)) * NOISE
        words = self.network.model.embed_tokens.weight[self.words]
        position = self.network.sam.prompt_encoder.get_dense_pe().flatten(2).transpose(1, 2)
        projector = self.network.model.mm_projector
        place = F.linear(position, projector.weight[:, position.shape[-1] :], projector.bias)
        # Without a background of its own, a cell that shows nothing is noise, which the first norm makes loud.
        return (shown * kept + noise) @ words + uncovered(shown) * self.background + place

    def losses(self, batch: QuestionBatch, vision: VisionStage, rng: np.random.Generator) -> dict[str, Tensor]:
        """Answers, pointing, and the mask prompts of stage 1 for single objects."""
        visual = self.true_tokens(batch.scenes, rng)
        hidden, losses = language_losses(self.network, self.words, self.pointing, batch, visual)
        prompt = self._prompt_loss(hidden, vision, batch)
        return {**losses, "loss": losses["loss"] + PROMPT_WEIGHT * prompt, "prompt": prompt.detach()}

    def _prompt_loss(self, hidden: Tensor, vision: VisionStage, batch: QuestionBatch) -> Tensor:
        rows, described = [], []
        for (image, position), mask in zip(batch.packed.states.tolist(), batch.packed.masks.tolist(), strict=True):
            targets = batch.target_ids[mask]
            seen = {o.instance: o for o in batch.scenes.objects[image]}
            if len(targets) == 1 and targets[0] in seen:
                rows.append((image, position))
                described.append(seen[targets[0]])
        if not rows:
            return hidden.sum() * 0.0
        with torch.no_grad():
            wanted = vision.prompt(
                torch.tensor([o.category for o in described]),
                torch.tensor([o.colour for o in described]),
                torch.tensor([o.centre for o in described]),
            )
        image, position = torch.tensor(rows).unbind(1)
        return F.smooth_l1_loss(self.network.head.embed(hidden[image, position]), wanted) / wanted.abs().mean()


def train(config: TabletopTrainConfig) -> None:
    """Runs or resumes stage 2; needs stage 1 for the mask prompts; the state is in `run_dir/language/last.pt`."""
    start_stage()
    options = config.language
    tokenizer = tokenizer_of(config)
    collator = QuestionCollator(tokenizer)
    stage = LanguageStage(config, word_ids(tokenizer))
    vision = VisionStage(config.model.sam())
    checkpoint = config.run_dir / "vision" / "last.pt"
    if not checkpoint.exists():
        raise TrainingError(f"{checkpoint} is missing: run `python -m training vision` first")
    vision.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    # Positions are encoded as the mask decoder of stage 1 encodes them.
    stage.network.sam.prompt_encoder.load_state_dict(vision.sam.prompt_encoder.state_dict())
    cells = stage.network.config.sam.grid_size**2
    fit(
        stage,
        question_stream(collator, options, cells, 19, FIRST_SCENE),
        lambda item: stage.losses(item[0], vision, item[1]),
        LoopOptions(steps=options.steps, lr=options.lr),
        config.run_dir / "language",
        lambda name: 0.0 if "visual_model" in name else 1.0,
    )
