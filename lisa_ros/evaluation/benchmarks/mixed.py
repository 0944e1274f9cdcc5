"""Scores of questions about several things of which some are not there, and of corrections of false premises."""

import re
from collections.abc import Sequence

import numpy as np

from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.evaluation.benchmarks.evaluate_dataset import BAD_SAMPLE
from lisa_ros.evaluation.benchmarks.rows import QueryRow
from lisa_ros.inference.engine import Lisa
from lisa_ros.progress import track
from lisa_ros.simulator.palette import COLOURS
from lisa_ros.simulator.shapes import CATEGORIES
from lisa_ros.types import SEGMENTED

MIXED = "mixed"
_COLOUR, _CATEGORY = "|".join(COLOURS), "|".join(CATEGORIES)
OBJECT = re.compile(rf"\b(?:({_COLOUR}) ({_CATEGORY})|({_CATEGORY}) in ({_COLOUR}))\b")
_OFFER = re.compile(r"\bbut\b(.*)")


def objects_named(text: str) -> list[str]:
    """The objects that a text names with their colours, in its order: "mug in red" and "red mug" are "red mug"."""
    found = OBJECT.findall(text.lower())
    return [f"{before or after} {behind or first}" for before, behind, first, after in found]


def mixed_scores(rows: Sequence[QueryRow]) -> dict[str, float | None]:
    """Scores of the answers to questions of kind "mixed", one a row, as shares; None for shares of nothing.

    An answer's masks are those of the objects that it names. Each belongs to the phrase of that category and colour,
    else to one of that category; a mask that belongs to none is one for a phrase that is absent.

    mixed_n_acc: absent phrases that got no mask. mixed_t_acc: present phrases that got one. mixed_n, mixed_n_absent:
    questions, and absent phrases in them.
    """
    absent = refused = present = answered = 0
    for row in rows:
        there, missing = objects_named(row.reference), list(row.phrases)
        for phrase in there:
            missing.remove(phrase)
        got, gone = _assigned(there, missing, objects_named(row.answer)[: row.masks], row.masks)
        present, answered = present + len(there), answered + got
        absent, refused = absent + len(missing), refused + len(missing) - gone
    return {
        "mixed_n": len(rows),
        "mixed_n_absent": absent,
        "mixed_n_acc": _share(refused, absent),
        "mixed_t_acc": _share(answered, present),
    }


def _assigned(present: Sequence[str], absent: Sequence[str], named: Sequence[str], masks: int) -> tuple[int, int]:
    """How many present and how many absent phrases got one of the masks, of the objects named."""
    left = [(phrase, True) for phrase in present] + [(phrase, False) for phrase in absent]
    got, waiting = [], list(named)
    for alike in (lambda phrase, name: phrase == name, lambda phrase, name: phrase.split()[-1] == name.split()[-1]):
        for name in list(waiting):
            match = next((entry for entry in left if alike(entry[0], name)), None)
            if match is not None:
                left.remove(match)
                waiting.remove(name)
                got.append(match[1])
    stray = masks - len(got)
    missing = sum(not there for _, there in left)
    return sum(got), len(got) - sum(got) + min(stray, missing)


def correction_share(rows: Sequence[QueryRow]) -> float | None:
    """Share of the absent objects with an alternative that the answer names, without a mask; None without any.

    A row's reference tells the alternatives: "The mug is not red, but blue or green." has two, and either is right.
    """
    asked = [(row, _offered(row.reference)) for row in rows if not row.exists and _offered(row.reference)]
    right = sum(not row.masks and bool(said := _offered(row.answer)) and said <= offered for row, offered in asked)
    return _share(right, len(asked))


def _offered(answer: str) -> set[str]:
    """Colours that an answer offers in the place of one that is not there."""
    offer = _OFFER.search(answer.lower())
    return {colour for colour in COLOURS if offer and re.search(rf"\b{colour}\b", offer[1])}


def phrase_scores(lisa: Lisa, dataset: TabletopDataset, *, progress: bool = False) -> dict[str, float | None]:
    """As `mixed_scores`, by asking `Lisa.segment_phrases` for the same things: mixed_phrases_n_acc and ..._t_acc.

    mixed_phrases_giou: mean IoU of the present phrases, 0 for those that were refused. A scene that cannot be asked
    about is left out.
    """
    absent = refused = answered = 0
    ious: list[float] = []
    for index in track(range(len(dataset)), description="phrases", unit="image", active=progress):
        sample = dataset[index]
        lists = [turn.targets for turn in sample.turns if turn.kind == MIXED]
        try:
            frame = lisa.encode(sample.image) if lists else None
        except BAD_SAMPLE:
            continue
        for targets in lists:
            found = lisa.segment_phrases(frame, [f"the {target.phrase}" for target in targets]).targets
            for truth, target in zip(targets, found, strict=True):
                shown = target.kind == SEGMENTED
                if truth.mask is None:
                    absent, refused = absent + 1, refused + (not shown)
                else:
                    answered += shown
                    ious.append(_iou(target.mask, truth.mask) if shown else 0.0)
    return {
        "mixed_phrases_n_acc": _share(refused, absent),
        "mixed_phrases_t_acc": _share(answered, len(ious)),
        "mixed_phrases_giou": _share(sum(ious), len(ious)),
    }


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
