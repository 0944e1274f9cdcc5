"""Language queries about a scene whose answer is beyond doubt, with their targets and reference answers."""

import random as std_random

import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.simulator.everyday import EverydayWriter
from lisa_ros.simulator.query import TabletopQuery
from lisa_ros.simulator.scene import Scene
from lisa_ros.simulator.wordings import PHRASINGS

ABSENT_SHARE = 0.33
_KINDS = {
    "category": 0.16, "attribute": 0.19, "affordance": 0.13, "knowledge": 0.12,
    "relation": 0.12, "superlative": 0.16, "group": 0.12,
}  # fmt: skip
KINDS = (*_KINDS, "absent")
# Kinds that are drawn where they are asked for only, with their weights.
FURTHER_KINDS = {"mixed": 0.4, "exclusion": 0.15, "ordinal": 0.2, "everyday": 0.25}
_ATTEMPTS = 32


def scene_queries(
    scene: Scene,
    rng: np.random.Generator,
    split: str = "train",
    count: int | None = None,
    absent_share: float = ABSENT_SHARE,
    kinds: dict[str, float] | None = None,
) -> list[TabletopQuery]:
    """Draws queries about a scene, no text twice.

    Args:
        scene: The scene.
        rng: Generator of the draws; its state is advanced.
        split: "train" or "heldout", which decides the wording (the tables have no string in common).
        count: Number of queries, 8 by default; fewer if the scene does not give as many.
        absent_share: Share of queries about something that is not in the scene.
        kinds: Weights of the kinds: those of present queries, and of FURTHER_KINDS "mixed" (several things, each of
            them there or not), "exclusion", "ordinal" and "everyday" (wishes, complaints, riddles and misspellings;
            present or absent). By default those of KINDS, as data sets have them.

    Returns:
        The queries with targets and reference answers.

    Raises:
        ConfigurationError: If split or kinds are unknown.
    """
    if split not in PHRASINGS:
        raise ConfigurationError(f"split={split!r}: choose one of {', '.join(PHRASINGS)}")
    unknown = set(kinds or ()) - {*_KINDS, *FURTHER_KINDS}
    if unknown:
        raise ConfigurationError(f"kinds={sorted(unknown)}: choose among {', '.join((*_KINDS, *FURTHER_KINDS))}")
    weights = kinds or _KINDS
    writer = EverydayWriter(scene, std_random.Random(int(rng.integers(2**62))), split)
    queries, texts = [], set()
    count = 8 if count is None else count
    for _ in range(count):
        # A kind that this scene cannot give is made up for by another present kind, so that refusals keep their share.
        absent = writer.random.random() < absent_share
        for attempt in range(_ATTEMPTS):
            if absent:
                kind = "absent"
            elif attempt % 4 == 0:
                kind = writer.random.choices(tuple(weights), tuple(weights.values()))[0]
            query = getattr(writer, kind)()
            if query is not None and query.text not in texts:
                texts.add(query.text)
                queries.append(query)
                break
    return queries
