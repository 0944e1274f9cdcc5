"""The questions of the demo, drawn from the simulator: held-out scenes in held-out wordings."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lisa_ros.demo.phrase_queries import phrase_queries
from lisa_ros.simulator import Scene, TabletopQuery, generate_scene, scene_queries
from lisa_ros.simulator.query import object_phrase, reference_answer

WIDTH, HEIGHT = 640, 480
# Beyond the seeds of every split of the tabletop data set.
_FIRST_SEED = 3 << 40
_OBJECTS = 5, 8
_DRAWN = 80
_BREAD, _PHRASES = "bread", "phrases"
# Kinds of questions for each scene.
_PLAN = (
    (_BREAD, "category", "relation", "absent"),
    ("attribute", "superlative", "knowledge", "absent"),
    ("group", "affordance", "category", "relation"),
    (_PHRASES,),
)


@dataclass(frozen=True)
class DemoScene:
    """A seed for the camera node, and the questions about what it then shows."""

    seed: int
    scene: Scene
    queries: tuple[TabletopQuery, ...]


def choose_scenes() -> Iterator[DemoScene]:
    """The demo's scenes, always the same ones, each the next that allows all the questions planned for it."""
    seed = _FIRST_SEED
    for kinds in _PLAN:
        while True:
            scene = generate_scene(seed, HEIGHT, WIDTH)
            queries = _queries(scene, kinds)
            seed += 1
            if queries:
                yield DemoScene(seed - 1, scene, queries)
                break


def _queries(scene: Scene, kinds: tuple[str, ...]) -> tuple[TabletopQuery, ...] | None:
    """One query of each kind, or those of phrases; None where the scene does not give them all."""
    if not _OBJECTS[0] <= len(scene.objects) <= _OBJECTS[1] or not all(item.queryable for item in scene.objects):
        return None
    if kinds == (_PHRASES,):
        return phrase_queries(scene)
    drawn = scene_queries(scene, np.random.default_rng((scene.seed, 2)), "heldout", _DRAWN)
    chosen: list[TabletopQuery] = []
    for kind in kinds:
        if kind == _BREAD:
            query = _bread(scene)
        else:
            # The shortest wording is the one that a person would take; each object once, so that all get their turn.
            asked = {ids for other in chosen for ids in other.target_ids}
            fitting = [q for q in drawn if q.kind == kind and not asked & set(q.target_ids)]
            query = min(fitting, key=lambda q: (len(q.text), q.text), default=None)
        if query is None:
            return None
        chosen.append(query)
    return tuple(chosen)


def _bread(scene: Scene) -> TabletopQuery | None:
    knives = [item for item in scene.objects if item.category == "knife"]
    if len(knives) != 1 or any(item.category == "scissors" for item in scene.objects):
        return None
    phrases = (object_phrase(knives[0]),)
    text = "Hand me something to cut the bread with"
    return TabletopQuery(text, "affordance", (knives[0].id,), phrases, reference_answer(phrases))
