"""Moving tabletop scenes with a question each and the truth of every image."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lisa_ros.simulator import generate_scene, scene_at, scene_queries

KINDS = ("camera", "objects", "occlusion")
_FIRST_SEED = 2 << 40  # the scenes of the split "heldout", which the packaged model was not trained on
_OBJECTS = (3, 7)
_HEIGHT, _WIDTH = 192, 256  # px
_HIDDEN = (0.3, 0.6)  # of a clip's length: when the board stands in front of the whole view
_SWEEP = 0.1  # of a clip's length, in which it comes and goes


@dataclass(frozen=True)
class ClipImage:
    """One image of a clip.

    Attributes:
        time: s since the clip's beginning.
        image: (H, W, 3) uint8 RGB.
        truth: (H, W) bool, the visible pixels of what is asked for.
    """

    time: float
    image: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Clip:
    """A moving scene with a question.

    Attributes:
        seed: Of the scene.
        kind: "camera" (the camera swings), "objects" (they turn on the table) or "occlusion" (a board is moved in
            front of the camera and away again).
        question: What is asked.
        target_ids: Objects that it asks for.
        length: s.
        rate: Images per second.
    """

    seed: int
    kind: str
    question: str
    target_ids: tuple[int, ...]
    length: float
    rate: float

    def images(self) -> Iterator[ClipImage]:
        """Renders the images, one after the other."""
        for number in range(round(self.length * self.rate)):
            time = number / self.rate
            motion = "static" if self.kind == "occlusion" else self.kind
            scene = scene_at(self.seed, time, motion, _HEIGHT, _WIDTH, objects=_OBJECTS)
            image, truth = scene.image, scene.mask(*self.target_ids)
            if self.kind == "occlusion":
                columns = round(_WIDTH * _covered(time / self.length))
                image, truth = image.copy(), truth.copy()
                image[:, :columns] = _board(self.seed)[:, _WIDTH - columns :]
                truth[:, :columns] = False
            yield ClipImage(time, image, truth)


def draw_clips(scenes: int, kinds: tuple[str, ...] = KINDS, length: float = 4.0, rate: float = 30.0) -> Iterator[Clip]:
    """One clip of each kind for each of the first held-out scenes.

    Its question is the first that is drawn for the scene, about something present.

    Args:
        scenes: How many scenes.
        kinds: Some of KINDS.
        length: Of a clip, s.
        rate: Images per second.
    """
    for seed in range(_FIRST_SEED, _FIRST_SEED + scenes):
        scene = generate_scene(seed, _HEIGHT, _WIDTH, objects=_OBJECTS)
        queries = scene_queries(scene, np.random.default_rng(seed), "heldout", absent_share=0.0)
        if queries:
            for kind in kinds:
                yield Clip(seed, kind, queries[0].text, queries[0].target_ids, length, rate)


def _covered(share: float) -> float:
    """Which part of the view the board covers, by the share of the clip that is over."""
    start, end = _HIDDEN
    return float(np.clip(min((share - start + _SWEEP) / _SWEEP, (end + _SWEEP - share) / _SWEEP), 0.0, 1.0))


def _board(seed: int) -> np.ndarray:
    """(H, W, 3) uint8: grey with a grain, so that its own motion can be seen."""
    grain = np.random.default_rng(seed).normal(110.0, 12.0, (_HEIGHT, _WIDTH, 1))
    return np.repeat(np.clip(grain, 0, 255).astype(np.uint8), 3, axis=2)
