"""The packaged model's decoder learns what points mean: it was prompted by words alone, the generator asks points."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lisa_ros.model.checkpoint import load
from lisa_ros.model.sam import SegmentAnything
from lisa_ros.simulator import Scene
from training.comparison.choosers.config import ChooserComparisonConfig
from training.comparison.questions import scene_batches
from training.model.losses import BCE_WEIGHT, DICE_WEIGHT, bce_loss, dice_loss, soft_iou
from training.tabletop.loop import LoopOptions, fit
from training.tabletop.scenes import HEIGHT, IMAGE_SIZE, STRIDE, normalise

FOLDER = "points"  # in run_dir
_POINTS = 12  # of one scene
_ON_OBJECTS = 0.85  # share of them; the others lie on the table
_SAVE_EVERY = 24


class PointStage(nn.Module):
    """A Segment Anything with the losses of its own training: the best of three masks, and how good each is."""

    def __init__(self, sam: SegmentAnything) -> None:
        super().__init__()
        self.sam = sam

    def losses(self, batch: tuple[list[Scene], np.random.Generator]) -> dict[str, Tensor]:
        """Mean over the points of some scenes."""
        scenes, rng = batch
        masked, rated, overlaps = [], [], []
        for scene in scenes:
            points, truth = _draw(scene, rng)
            with torch.no_grad():
                features = self.sam.encode(normalise(scene.image)[None])
            logits, expected = self.sam.decode_points(features, points, torch.ones(len(points), 1))
            logits = logits[:, :, : HEIGHT // STRIDE]
            flat, wanted = logits.flatten(0, 1), truth.repeat_interleave(logits.shape[1], dim=0)
            each = BCE_WEIGHT * bce_loss(flat, wanted) + DICE_WEIGHT * dice_loss(flat, wanted)
            overlap = soft_iou(flat.detach(), wanted).view_as(expected)
            masked.append(each.view_as(expected).min(dim=1).values.mean())
            rated.append(((expected - overlap) ** 2).mean())
            overlaps.append(overlap.max(dim=1).values.mean())
        mask, rating = torch.stack(masked).mean(), torch.stack(rated).mean()
        return {
            "loss": mask + rating,
            "mask": mask.detach(),
            "rating": rating.detach(),
            "iou": torch.stack(overlaps).mean(),
        }


def _draw(scene: Scene, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Points (n, 1, 2) as x, y, and the masks (n, 48, 64) float32 of what they lie on."""
    objects, drawn, targets = np.unique(scene.instances[scene.instances > 0]), [], []
    for _ in range(_POINTS):  # small objects as often as large ones
        shown = rng.choice(objects) if len(objects) and rng.random() < _ON_OBJECTS else 0
        places = np.argwhere(scene.instances == shown)
        v, u = places[int(rng.integers(len(places)))]
        drawn.append([[float(u), float(v)]])
        targets.append(scene.instances == scene.instances[v, u])
    full = torch.zeros(len(targets), HEIGHT, IMAGE_SIZE)
    full[:] = torch.from_numpy(np.stack(targets)).float()
    return torch.tensor(drawn), torch.nn.functional.avg_pool2d(full[:, None], STRIDE)[:, 0]


def point_sam(config: ChooserComparisonConfig) -> SegmentAnything:
    """The source's Segment Anything after it has learnt points; trains or resumes it where it has not yet."""
    stage = PointStage(load(config.source).network.sam)
    directory, steps = config.run_dir / FOLDER, config.pools.point_steps

    def batches(first_step: int) -> Iterator[tuple[list[Scene], np.random.Generator]]:
        for scenes, rng in scene_batches(config, first_step):
            yield [scene for scene, _ in scenes], rng

    fit(
        stage,
        batches,
        stage.losses,
        LoopOptions(steps, config.training.lr, config.training.warmup, save_every=_SAVE_EVERY),
        directory,
        lambda name: 0.0 if "image_encoder" in name else 1.0,
    )
    return stage.sam.eval()


def read_point_sam(config: ChooserComparisonConfig) -> SegmentAnything:
    """What `point_sam` has trained."""
    stage = PointStage(load(config.source).network.sam)
    stage.load_state_dict(trained_state(config.run_dir / FOLDER))
    return stage.sam.eval()


def trained_state(directory: Path) -> dict[str, Tensor]:
    """The weights that a stage's training has left."""
    return torch.load(directory / "last.pt", map_location="cpu", weights_only=True)["model"]
