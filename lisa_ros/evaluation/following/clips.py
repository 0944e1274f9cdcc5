"""Moving tabletop scenes with a question each and the truth of every image."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from lisa_ros.simulator import generate_scene, scene_at, scene_queries

KINDS = ("camera", "objects", "occlusion", "leaving")
_FIRST_SEED = 2 << 40  # the scenes of the split "heldout", which the packaged model was not trained on
_OBJECTS = (3, 7)
_HEIGHT, _WIDTH = 192, 256  # px
_HIDDEN = (0.3, 0.6)  # of a clip's length: when the board stands in front of the whole view, or nothing is in it
_SWEEP = 0.1  # of a clip's length, in which the board comes and goes
_TURN = 0.2  # of a clip's length, in which the view turns away, and back


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
        kind: "camera" (the camera swings), "objects" (they turn on the table), "occlusion" (a board is moved in
            front of the camera and away again) or "leaving" (the view turns until all of it has left the picture at
            the side, and back; what comes in at the other side has the colours of the picture's border).
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
            motion = "static" if self.kind in ("occlusion", "leaving") else self.kind
            scene = scene_at(self.seed, time, motion, _HEIGHT, _WIDTH, objects=_OBJECTS)
            image, truth = scene.image, scene.mask(*self.target_ids)
            if self.kind == "occlusion":
                columns = round(_WIDTH * _hidden(time / self.length, _SWEEP))
                image, truth = image.copy(), truth.copy()
                image[:, :columns] = _board(self.seed)[:, _WIDTH - columns :]
                truth[:, :columns] = False
            elif self.kind == "leaving":
                columns = round(_WIDTH * _hidden(time / self.length, _TURN))
                image, truth = _turned(image, columns, cv2.BORDER_REPLICATE), _turned(truth, columns) > 0
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


def _hidden(share: float, sweep: float) -> float:
    """Which part of the view is gone, by the share of the clip that is over. sweep: the share in which it goes."""
    start, end = _HIDDEN
    return float(np.clip(min((share - start + sweep) / sweep, (end + sweep - share) / sweep), 0.0, 1.0))


def _turned(image: np.ndarray, columns: int, border: int = cv2.BORDER_CONSTANT) -> np.ndarray:
    """An image (H, W, C) or mask (H, W), moved to the right."""
    move = np.array([[1, 0, columns], [0, 1, 0]], np.float64)
    return cv2.warpAffine(image.astype(np.uint8), move, (_WIDTH, _HEIGHT), borderMode=border)


def _board(seed: int) -> np.ndarray:
    """(H, W, 3) uint8: grey with a grain, so that its own motion can be seen."""
    grain = np.random.default_rng(seed).normal(110.0, 12.0, (_HEIGHT, _WIDTH, 1))
    return np.repeat(np.clip(grain, 0, 255).astype(np.uint8), 3, axis=2)
