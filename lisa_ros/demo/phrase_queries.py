"""Questions that name several things, and the phrases that a program asks for in their place."""

import random as std_random
from dataclasses import dataclass

from lisa_ros.simulator import Scene, SceneObject, TabletopQuery
from lisa_ros.simulator.palette import ALSO_SHOWS, COLOURS
from lisa_ros.simulator.query import object_phrase
from lisa_ros.simulator.shapes import CATEGORIES
from lisa_ros.types import FALSE_PREMISE

EXCLUSION, ONE_ABSENT = "exclusion", "one_absent"
_NEEDED = 5  # things that are the only one of their category: three, one and one for the questions


@dataclass(frozen=True, kw_only=True)
class PhraseQuery(TabletopQuery):
    """A sentence that names several things. What is asked for are phrases, all of them in one query.

    Attributes:
        asked: The phrases.
        asked_ids: For each phrase the `SceneObject.id` of what it names; None for what is not in the scene.
    """

    asked: tuple[str, ...]
    asked_ids: tuple[int | None, ...]


def phrase_queries(scene: Scene) -> tuple[PhraseQuery, ...] | None:
    """Two things and not a third, a thing and an absent one, and a false premise; None where the scene is too poor."""
    random = std_random.Random(scene.seed)
    categories = [item.category for item in scene.objects]
    alone = [item for item in scene.objects if categories.count(item.category) == 1]
    if len(alone) < _NEEDED:
        return None
    first, second, third, fourth, fifth = random.sample(alone, _NEEDED)
    absent = random.choice([category for category in CATEGORIES if category not in categories])
    colours = [item.colour for item in scene.objects]  # a colour that something else here has is the harder premise
    taken = {fifth.colour, *ALSO_SHOWS.get(fifth.category, ())}
    wrong = random.choice(
        [colour for colour in colours if colour not in taken] or [c for c in COLOURS if c not in taken]
    )
    return (
        _query(f"The {first.category} and the {second.category}, not the {third.category}", EXCLUSION, [first, second]),
        _query(f"Give me the {fourth.category} and the {absent}", ONE_ABSENT, [fourth, None], absent),
        _query(f"Bring me the {wrong} {fifth.category}", FALSE_PREMISE, [None, fifth], f"{wrong} {fifth.category}"),
    )


def _query(text: str, kind: str, items: list[SceneObject | None], absent: str = "") -> PhraseQuery:
    found = [item for item in items if item is not None]
    return PhraseQuery(
        text=text,
        kind=kind,
        target_ids=tuple(item.id for item in found),
        phrases=tuple(map(object_phrase, found)),
        answer="",
        asked=tuple(f"the {item.category if item else absent}" for item in items),
        asked_ids=tuple(item.id if item else None for item in items),
    )
