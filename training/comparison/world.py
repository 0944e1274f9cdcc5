"""Phrases about tabletop scenes, each of them there or absent: one thing, several, nothing, or a false premise."""

from collections.abc import Callable

import numpy as np

from lisa_ros.simulator import Scene, generate_scene
from lisa_ros.simulator.nouns import plural
from lisa_ros.simulator.palette import ALSO_SHOWS, COLOURS
from lisa_ros.simulator.query import object_phrase
from lisa_ros.simulator.scene import SceneObject
from lisa_ros.types import FALSE_PREMISE, Sample, TruthTarget, Turn
from training.comparison.config import WorldConfig
from training.tabletop.scenes import HEIGHT, WIDTH

ONE, SEVERAL, NOTHING = "one", "several", "nothing"
PLURAL_SHARE = 0.25  # of absent nouns: a plural alone must not tell that something is there
_ATTEMPTS = 32


def scene_of(world: WorldConfig, seed: int) -> Scene:
    """Renders the scene of a seed."""
    return generate_scene(seed, HEIGHT, WIDTH, objects=world.objects, categories=world.categories)


def phrase_sample(world: WorldConfig, scene: Scene, count: int) -> Sample:
    """A scene with phrases about it, always the same ones; fewer than `count` if the scene does not give as many."""
    rng = np.random.default_rng((scene.seed, 2))
    writer = PhraseWriter(world, scene, rng)
    turns: dict[str, Turn] = {}
    for _ in range(count):
        kinds: list[Callable[[], Turn | None]] = [writer.coloured, writer.noun]
        if rng.random() < world.absent_share:
            kinds = [writer.absent, writer.false_premise]
        first = int(rng.integers(2))
        for attempt in range(_ATTEMPTS):
            turn = kinds[(first + attempt // (_ATTEMPTS // 2)) % 2]()
            if turn is not None and turn.question not in turns:
                turns[turn.question] = turn
                break
    return Sample(scene.image, tuple(turns.values()), "tabletop phrases")


class PhraseWriter:
    """Writes phrases about one scene. Each method gives a turn, or None where its draw does not fit the scene."""

    def __init__(self, world: WorldConfig, scene: Scene, rng: np.random.Generator) -> None:
        self.world, self.scene, self.rng = world, scene, rng

    def noun(self) -> Turn | None:
        """All objects of one category."""
        category = self._drawn().category
        return self._present(category, [one for one in self.scene.objects if one.category == category])

    def coloured(self) -> Turn | None:
        """All objects of one category and colour."""
        phrase = object_phrase(self._drawn())
        return self._present(phrase, [one for one in self.scene.objects if object_phrase(one) == phrase])

    def absent(self) -> Turn | None:
        """A category of which nothing is in the scene."""
        category = str(self.rng.choice(self.world.categories))
        if any(one.category == category for one in self.scene.objects):
            return None
        phrase = plural(category) if self.rng.random() < PLURAL_SHARE else category
        return Turn(phrase, (TruthTarget(phrase, None),), "", NOTHING)

    def false_premise(self) -> Turn | None:
        """A category that is there, in a colour that is not; what is there in its place is the alternative."""
        item = self._drawn()
        colour = str(self.rng.choice(COLOURS))
        if self.rng.random() < 0.5:  # a colour that something else here has
            colour = self._drawn().colour
        here = {one.colour for one in self.scene.objects if one.category == item.category}
        if colour in here or colour in ALSO_SHOWS.get(item.category, ()) or not item.queryable:
            return None
        phrase = f"{colour} {item.category}"
        alternative = TruthTarget(object_phrase(item), self.scene.mask(item.id), item.id)
        return Turn(phrase, (TruthTarget(phrase, None, alternative=alternative),), "", FALSE_PREMISE)

    def _drawn(self) -> SceneObject:
        return self.scene.objects[int(self.rng.integers(len(self.scene.objects)))]

    def _present(self, phrase: str, objects: list[SceneObject]) -> Turn | None:
        if not all(one.queryable for one in objects):  # whether it is to be seen is open to doubt
            return None
        phrase, kind = (plural(phrase), SEVERAL) if len(objects) > 1 else (phrase, ONE)
        return Turn(phrase, tuple(TruthTarget(phrase, self.scene.mask(one.id), one.id) for one in objects), "", kind)
