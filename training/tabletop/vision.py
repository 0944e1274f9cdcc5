"""Stage 1 of the tabletop recipe: the image encoder and mask decoder learn to see before they learn to read.

The encoder is supervised densely (class, colour, offset to the object's centre) and the mask decoder is prompted with
true descriptions (class, colour, position) in place of a language model's embedding. Both heads of this stage are
discarded; encoder and decoder become part of the LISA model.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lisa_ros.model.sam import SegmentAnything
from lisa_ros.model.sam_config import SamConfig
from training.model.losses import mask_losses, soft_iou
from training.tabletop.config import TabletopTrainConfig
from training.tabletop.distributed import start_stage
from training.tabletop.loop import LoopOptions, fit
from training.tabletop.scenes import CATEGORY_COUNT, COLOUR_COUNT, IGNORE, SceneBatch, scene_batches, soft_masks

PROMPTS_PER_SCENE = 5


class DenseHead(nn.Module):
    """Per-pixel class, colour and centre offset at stride 4, and class/colour presence of each cell at stride 16."""

    def __init__(self, config: SamConfig, width: int = 64) -> None:
        super().__init__()
        dim = config.prompt_embed_dim
        self.deep = nn.Conv2d(dim, width, 1)
        self.stride8 = nn.Conv2d(config.stem_channels[1], width, 1)
        self.stride4 = nn.Conv2d(config.stem_channels[0], width, 1)
        self.merge8 = nn.Conv2d(width, width, 3, padding=1)
        self.merge4 = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, CATEGORY_COUNT + 1 + COLOUR_COUNT + 2, 1)
        self.cells = nn.Conv2d(dim, CATEGORY_COUNT + COLOUR_COUNT, 1)

    def forward(self, embedding: Tensor, maps: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Embedding (B, C, g, g), maps at strides 4 and 8 -> pixel logits (B, K, 4g, 4g), cell logits (B, K', g, g)."""
        stride4, stride8 = maps
        x = F.interpolate(self.deep(embedding), scale_factor=2.0, mode="bilinear", align_corners=False)
        x = torch.relu(self.merge8(x + self.stride8(stride8)))
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = torch.relu(self.merge4(x + self.stride4(stride4)))
        return self.out(x), self.cells(embedding)

    def loss(self, embedding: Tensor, maps: tuple[Tensor, Tensor], batch: SceneBatch) -> tuple[Tensor, Tensor]:
        """Dense loss and, for the log, the mean class IoU over the classes present in the batch."""
        pixels, cells = self(embedding, maps)
        classes, colours, offsets = pixels.split([CATEGORY_COUNT + 1, COLOUR_COUNT, 2], dim=1)
        foreground = (batch.classes > 0) & (batch.classes != IGNORE)
        weight = torch.ones(CATEGORY_COUNT + 1)
        weight[0] = 0.3
        loss = F.cross_entropy(classes, batch.classes, weight=weight, ignore_index=IGNORE)
        loss = loss + 0.5 * F.cross_entropy(colours, batch.colours, ignore_index=IGNORE)
        loss = loss + 2.0 * (offsets - batch.offsets).abs().mean(1)[foreground].mean()
        loss = loss + 2.0 * F.binary_cross_entropy_with_logits(cells, batch.cells)
        return loss, mean_class_iou(classes.argmax(1), batch.classes)


def mean_class_iou(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean IoU over the object classes that occur in `truth` (background and IGNORE left out)."""
    valid, ious = truth != IGNORE, []
    for label in truth[valid & (truth > 0)].unique():
        p, t = (prediction == label) & valid, truth == label
        ious.append((p & t).sum() / (p | t).sum())
    return torch.stack(ious).mean()


class DescriptionPrompt(nn.Module):
    """A true description of objects as a mask prompt: class, colour and centre, any of them left out."""

    def __init__(self, dim: int, frequencies: int = 6) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2.0 ** torch.arange(frequencies) * torch.pi, persistent=False)
        self.mlp = nn.Sequential(
            nn.Linear(CATEGORY_COUNT + COLOUR_COUNT + 4 * frequencies, 256), nn.ReLU(), nn.Linear(256, dim)
        )

    def forward(self, classes: Tensor, colours: Tensor, centres: Tensor) -> Tensor:
        """Classes and colours (n,), -1 if not given; centres (n, 2) in 0..1, NaN if not given -> (n, 1, dim)."""
        angle = centres.nan_to_num()[..., None] * self.frequencies
        place = torch.cat([angle.sin(), angle.cos()], -1).flatten(1) * (~centres.isnan()).all(-1, keepdim=True)
        given = [
            F.one_hot(v + 1, n + 1)[:, 1:].float() for v, n in ((classes, CATEGORY_COUNT), (colours, COLOUR_COUNT))
        ]
        return self.mlp(torch.cat([*given, place], -1)).unsqueeze(1)


@dataclass(frozen=True)
class Prompts:
    """Descriptions and the masks that they mean; image: (n,) index into the batch, masks (n, 4g, 4g) float."""

    image: Tensor
    classes: Tensor
    colours: Tensor
    centres: Tensor
    masks: Tensor


def sample_prompts(batch: SceneBatch, rng: np.random.Generator, per_scene: int = PROMPTS_PER_SCENE) -> Prompts:
    """Random descriptions: always a class, a colour or a centre; the mask is the union of all objects that fit."""
    rows = []
    for index, objects in enumerate(batch.objects):
        chosen = rng.permutation(len(objects))[:per_scene]
        for one in chosen:
            obj = objects[one]
            tell_class, tell_colour, tell_centre = rng.random(3) < (0.75, 0.5, 0.4)
            if not (tell_class or tell_colour or tell_centre):
                tell_class = True
            fits = tuple(
                o.instance
                for o in objects
                if (not tell_class or o.category == obj.category) and (not tell_colour or o.colour == obj.colour)
            )
            rows.append(
                (
                    index,
                    obj.category if tell_class else -1,
                    obj.colour if tell_colour else -1,
                    obj.centre if tell_centre else (float("nan"), float("nan")),
                    (obj.instance,) if tell_centre else fits,
                )
            )
    image, classes, colours, centres, ids = zip(*rows, strict=True)
    return Prompts(
        torch.tensor(image),
        torch.tensor(classes),
        torch.tensor(colours),
        torch.tensor(centres),
        soft_masks(batch.instances, list(ids), list(image)),
    )


class VisionStage(nn.Module):
    """Segment Anything with the two heads of this stage."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.sam = SegmentAnything(config)
        self.dense = DenseHead(config)
        self.prompt = DescriptionPrompt(config.prompt_embed_dim)

    def losses(self, batch: SceneBatch, rng: np.random.Generator) -> dict[str, Tensor]:
        """Dense and prompted mask losses of one batch."""
        embedding, maps = self.sam.image_encoder(batch.images)
        features = self.sam.features_of(embedding, maps)
        dense, miou = self.dense.loss(embedding, maps, batch)
        prompts = sample_prompts(batch, rng)
        embeddings = self.prompt(prompts.classes, prompts.colours, prompts.centres)
        logits = self.sam.decode(features.select(prompts.image), embeddings)[:, 0]
        rows = batch.valid_rows  # padding below the image is not scored
        logits, masks = logits[:, :rows], prompts.masks[:, :rows]
        masked = mask_losses(logits, masks)
        return {
            "loss": dense + masked.total,
            "dense": dense,
            "mask": masked.total,
            "miou": miou,
            "iou": soft_iou(logits.detach(), masks).mean(),
        }


def train(config: TabletopTrainConfig) -> None:
    """Runs or resumes stage 1; the state is in `run_dir/vision/last.pt`."""
    rank, world = start_stage()
    options = config.vision

    def batches(first_step: int) -> Iterator[tuple[SceneBatch, np.random.Generator]]:
        for step, batch in scene_batches(options.batch_size, rank, world, first_step):
            yield batch, np.random.default_rng((17, step, rank))

    stage = VisionStage(config.model.sam()).to(memory_format=torch.channels_last)
    fit(
        stage,
        batches,
        lambda item: stage.losses(*item),
        LoopOptions(steps=options.steps, lr=options.lr),
        config.run_dir / "vision",
    )
