"""The procedural tabletop world as a data set: deterministic by index, with splits of disjoint seeds and wordings."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.simulator import FURTHER_KINDS, Scene, TabletopQuery, generate_scene, scene_queries
from lisa_ros.types import Sample, TruthTarget, Turn

# First seed of each split; a split has room for 2**40 scenes.
_FIRST_SEED = {"train": 0, "val": 1 << 40, "heldout": 2 << 40}
QUERIES = 8  # questions a scene, unless said otherwise
_WORDING = {"train": "train", "val": "train", "heldout": "heldout"}


@dataclass(frozen=True)
class Variant:
    """A way to draw scenes.

    Attributes:
        height: Of the image, px.
        width: Of the image, px.
        options: Fields of `SceneOptions`.
    """

    height: int = 192
    width: int = 256
    options: dict = field(default_factory=dict)


VARIANTS = {
    "default": Variant(),
    "camera": Variant(options={"camera": "other"}),  # other camera heights
    "clutter": Variant(options={"objects": (10, 15)}),
    "textures": Variant(options={"textures": "unseen"}),
    "vga": Variant(480, 640, {"noise": 2.0, "blur": 0.8}),  # 640x480 with noise and blur
}


class TabletopDataset:
    """Simulated scenes with questions. Indexing renders; the same index always gives the same `Sample`.

    Args:
        split: "train", "val" (new scenes, training wordings) or "heldout" (new scenes, held-out wordings).
        count: Number of scenes.
        queries: Turns of each scene; fewer if the scene does not give as many.
        variant: A key of VARIANTS.
        further: Turns of each scene behind those, of the kinds in `FURTHER_KINDS`; of one of kind "mixed" some targets
            are there and others are not.

    Raises:
        ConfigurationError: If split or variant is unknown, or the count is out of range.

    Example:
        >>> sample = TabletopDataset("heldout", 1, queries=2)[0]
        >>> sample.image.shape, len(sample.turns)
        ((192, 256, 3), 2)
    """

    def __init__(self, split: str, count: int, queries: int = QUERIES, variant: str = "default", further: int = 0):
        for name, value, known in (("split", split, _FIRST_SEED), ("variant", variant, VARIANTS)):
            if value not in known:
                raise ConfigurationError(f"{name}={value!r}: choose one of {', '.join(known)}")
        if not 0 <= count <= 1 << 40:
            raise ConfigurationError(f"count={count}: must be within 0..{1 << 40}")
        self.split, self.count, self.queries, self.variant = split, count, queries, VARIANTS[variant]
        self.further = further
        # Fewer or more questions about a scene are other questions: their scores must not be mixed.
        self.source = f"tabletop/{split}/{variant}" + (f"/{queries} queries" if queries != QUERIES else "")
        self.source += f"/{further} further" if further else ""

    def __len__(self) -> int:
        return self.count

    def key(self, index: int) -> str:
        """Name of a scene."""
        return f"{index:06d}"

    def scene(self, index: int) -> Scene:
        """Renders the scene of an index.

        Args:
            index: Number of the scene, from 0.

        Returns:
            The scene with its truth.

        Raises:
            IndexError: If there is no such scene.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"scene {index} of {self.count}")
        variant = self.variant
        return generate_scene(_FIRST_SEED[self.split] + index, variant.height, variant.width, **variant.options)

    def questions(self, scene: Scene) -> list[TabletopQuery]:
        """The queries about one of this data set's scenes.

        Args:
            scene: A scene that `scene` has rendered.

        Returns:
            Always the same queries for the same scene.
        """
        wording = _WORDING[self.split]
        drawn = scene_queries(scene, np.random.default_rng((scene.seed, 1)), wording, self.queries)
        if not self.further:
            return drawn
        rng = np.random.default_rng((scene.seed, 3))
        return drawn + scene_queries(scene, rng, wording, self.further, 0.0, FURTHER_KINDS)

    def __getitem__(self, index: int) -> Sample:
        scene = self.scene(index)
        return Sample(scene.image, tuple(to_turn(scene, query) for query in self.questions(scene)), self.source)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(self.count))


def to_turn(scene: Scene, query: TabletopQuery) -> Turn:
    """A query as a turn with masks; what is absent is a target without a mask, behind those that are there."""
    shown = query.phrases if query.target_ids else ()
    targets = [TruthTarget(phrase, scene.mask(i), i) for phrase, i in zip(shown, query.target_ids, strict=True)]
    absent = query.absent if query.kind == "mixed" or shown else query.phrases
    targets += [TruthTarget(phrase, None, alternative=_alternative(scene, phrase, query)) for phrase in absent]
    return Turn(query.text, tuple(targets), query.answer, query.kind, is_sentence=True)


def _alternative(scene: Scene, phrase: str, query: TabletopQuery) -> TruthTarget | None:
    """The first of what a query's answer may name in the place of an absent phrase."""
    for offered in query.alternatives:
        if offered.split()[-1] == phrase.split()[-1]:
            item = next(o for o in scene.objects if f"{o.colour} {o.category}" == offered)
            return TruthTarget(offered, scene.mask(item.id), item.id)
    return None
