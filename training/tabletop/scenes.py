"""Endless batches of new tabletop scenes with dense truth, preprocessed as the model sees them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lisa_ros.simulator import Scene, generate_scene
from lisa_ros.simulator.palette import COLOURS
from lisa_ros.simulator.shapes import CATEGORIES

IMAGE_SIZE = 256
HEIGHT, WIDTH = 192, 256
STRIDE = 4
IGNORE = 255
CATEGORY_COUNT, COLOUR_COUNT = len(CATEGORIES), len(COLOURS)
CROWDED_EVERY, CROWDED = 3, {"objects": (10, 15)}  # every third scene has more objects than a scene usually has
MIN_PIXELS = 24  # objects with fewer visible pixels are not asked for in stage 1

_MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
_STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


@dataclass(frozen=True)
class VisibleObject:
    """One object with enough pixels: instance id in the mask, class and colour number, centre of its pixels in 0..1."""

    instance: int
    category: int
    colour: int
    centre: tuple[float, float]


@dataclass(frozen=True)
class SceneBatch:
    """B scenes; g = 256 / 16 cells, 4g = 64 pixels at stride 4; what lies below the image is padding.

    images (B, 3, 256, 256) normalised; instances (B, 256, 256) int; classes and colours (B, 64, 64) int with 0 =
    background for classes and IGNORE where they do not count; offsets (B, 2, 64, 64) to the object's centre, in image
    widths; cells (B, classes + colours, 16, 16) presence; valid_rows: rows at stride 4 that belong to the image.
    """

    scenes: list[Scene]
    images: Tensor
    instances: Tensor
    classes: Tensor
    colours: Tensor
    offsets: Tensor
    cells: Tensor
    objects: list[list[VisibleObject]]
    valid_rows: int = HEIGHT // STRIDE


def normalise(image: np.ndarray) -> Tensor:
    """(192, 256, 3) uint8 RGB to (3, 256, 256): SAM's normalisation, then zero padding below."""
    pixels = (torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() - _MEAN) / _STD
    return F.pad(pixels, (0, 0, 0, IMAGE_SIZE - HEIGHT))


def soft_masks(instances: Tensor, ids: list[tuple[int, ...]], images: list[int]) -> Tensor:
    """Share of each stride-4 pixel covered by the given instance ids: (n, 64, 64) float, one mask for each id tuple."""
    full = torch.stack(
        [torch.isin(instances[b], torch.tensor(chosen)).float() for chosen, b in zip(ids, images, strict=True)]
    )
    return F.avg_pool2d(full[:, None], STRIDE)[:, 0]


def collate(scenes: list[Scene]) -> SceneBatch:
    """Dense truth of some 192x256 scenes."""
    instances = torch.zeros(len(scenes), IMAGE_SIZE, IMAGE_SIZE, dtype=torch.long)
    small = (len(scenes), IMAGE_SIZE // STRIDE, IMAGE_SIZE // STRIDE)
    classes, colours = torch.full(small, IGNORE), torch.full(small, IGNORE)
    offsets = torch.zeros(len(scenes), 2, *small[1:])
    grid = (torch.stack(torch.meshgrid(*[torch.arange(small[1])] * 2, indexing="xy")) + 0.5) * STRIDE / WIDTH
    objects = []
    for b, scene in enumerate(scenes):
        ids = torch.from_numpy(scene.instances.astype(np.int64))
        instances[b, :HEIGHT] = ids
        categories = torch.tensor([-1] + [CATEGORIES.index(o.category) for o in scene.objects])
        shades = torch.tensor([IGNORE] + [COLOURS.index(o.colour) for o in scene.objects])
        centres, visible = _centres(scene)
        sampled = ids[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
        rows = sampled.shape[0]
        classes[b, :rows] = categories[sampled] + 1
        colours[b, :rows] = shades[sampled]
        offsets[b, :, :rows] = torch.from_numpy(centres[sampled.numpy()]).permute(2, 0, 1).float() - grid[:, :rows]
        objects.append(
            [VisibleObject(i, int(categories[i]), int(shades[i]), tuple(map(float, centres[i]))) for i in visible]
        )
    return SceneBatch(
        scenes=scenes,
        images=torch.stack([normalise(scene.image) for scene in scenes]),
        instances=instances,
        classes=classes,
        colours=colours,
        offsets=offsets,
        cells=F.max_pool2d(one_hot_words(classes, colours), 16 // STRIDE),
        objects=objects,
    )


def _centres(scene: Scene) -> tuple[np.ndarray, list[int]]:
    """Centre of each instance's pixels in image widths (index 0 unused), and the ids of those large enough."""
    flat = scene.instances.ravel().astype(np.int64)
    count = len(scene.objects) + 1
    pixels = np.bincount(flat, minlength=count)
    ys, xs = np.indices(scene.instances.shape)
    centres = np.stack([np.bincount(flat, v.ravel() + 0.5, minlength=count) for v in (xs, ys)], 1)
    centres = centres / np.maximum(pixels, 1)[:, None] / WIDTH
    return centres, [i for i in range(1, count) if pixels[i] >= MIN_PIXELS]


def one_hot_words(classes: Tensor, colours: Tensor) -> Tensor:
    """Class and colour of each stride-4 pixel as (B, classes + colours, 64, 64) of 0 and 1; 0 where not known."""
    hot = []
    for values, count in ((classes - 1, CATEGORY_COUNT), (colours, COLOUR_COUNT)):
        known = (values >= 0) & (values < count)
        one_hot = F.one_hot(values.where(known, torch.full_like(values, count)), count + 1)[..., :count]
        hot.append(one_hot.permute(0, 3, 1, 2).float())
    return torch.cat(hot, 1)


def scene_batches(
    batch_size: int, rank: int, world: int, first_step: int, first_scene: int = 0
) -> Iterator[tuple[int, SceneBatch]]:
    """Endless (step, batch); the scenes of a step depend on step, rank and batch size alone."""
    step = first_step
    while True:
        first = first_scene + (step * world + rank) * batch_size
        yield step, collate([_scene(first + i) for i in range(batch_size)])
        step += 1


def _scene(seed: int) -> Scene:
    return generate_scene(seed, HEIGHT, WIDTH, **(CROWDED if seed % CROWDED_EVERY == 0 else {}))
