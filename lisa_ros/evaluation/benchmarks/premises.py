"""Scores of questions of which some ask for what is not there: SESAME's "see" and cIoU, and what answers say of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from lisa_ros.evaluation.benchmarks.rows import QueryRow
from lisa_ros.evaluation.html_report import percent
from lisa_ros.evaluation.metrics import Overlap
from lisa_ros.model.styles.denial import denies, without, words_of

# Words that do not tell one thing from another.
_FILLERS = frozenset(
    """a an the this that these those some any of in on at to by with and or is are was were be it its there here one
    his her their who which""".split()  # noqa: SIM905
)
_LABELS = {
    "see_accuracy_first": "See accuracy, first mask of each answer",
    "ciou_first": "cIoU, first mask of each answer",
    "see_accuracy_all": "See accuracy, all masks",
    "ciou_all": "cIoU, all masks",
    "say": "Say: answers that say what is right",
    "say_denial": "absent targets denied",
    "say_correction": "absent targets denied, and the right alternative named",
    "say_false_denial": "present targets denied",
}


@dataclass
class PremiseMetrics:
    """Sums over queries; `add` one after the other.

    Attributes:
        queries: All of them, whether what they ask for is there or not.
        seen: Those of them in which the prediction is right about that: a mask with a pixel for what the data set says
            is there, none for what it says is not.
        intersection: Pixels, of all queries.
        union: Pixels, of all queries; of what is not there, the predicted ones.
    """

    queries: int = 0
    seen: int = 0
    intersection: int = 0
    union: int = 0

    def add(self, overlap: Overlap, exists: bool) -> None:
        """Scores one query.

        Args:
            overlap: Pixels of prediction and truth.
            exists: Whether the data set says that the target is there. It may say so of one without pixels.
        """
        self.queries += 1
        self.seen += overlap.found == exists
        self.intersection += overlap.intersection
        self.union += overlap.union

    def merge(self, other: "PremiseMetrics") -> None:
        """Adds the sums of another accumulator to this one."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    @property
    def see_accuracy(self) -> float:
        """Share of the queries in which the prediction is right about whether the target is there; NaN without any."""
        return self.seen / self.queries if self.queries else float("nan")

    @property
    def ciou(self) -> float:
        """Intersection over union of all pixels together, those of false premises among them; NaN without queries."""
        return self.intersection / (self.union + 1e-10) if self.queries else float("nan")


def premise_scores(rows: Sequence[QueryRow]) -> dict[str, float]:
    """SESAME's scores of some rows, and of generated answers what they say.

    Returns:
        see_accuracy_first, ciou_first: of the first mask of each answer alone, as SESAME is published.
        see_accuracy_all, ciou_all: of all masks of each answer together.
        say: Share of the queries whose answer says what is right: it does not deny what is there, it denies what is
            not, and names what is there in its place where the data set does so.
        say_denial: Share of the absent targets that the answer denies, without a mask.
        say_correction: Share of the absent targets with an alternative in the data set that the answer denies, without
            a mask, and whose alternative it names.
        say_false_denial: Share of the present targets that the answer denies.

        NaN for shares of nothing.
    """
    first, together = PremiseMetrics(), PremiseMetrics()
    for row in rows:
        first.add(row.first_overlap, row.exists)
        together.add(row.overlap, row.exists)
    present, absent = [row for row in rows if row.exists], [row for row in rows if not row.exists]
    corrected = [row for row in absent if row.alternatives]
    return {
        "see_accuracy_first": first.see_accuracy,
        "ciou_first": first.ciou,
        "see_accuracy_all": together.see_accuracy,
        "ciou_all": together.ciou,
        "say": _share(list(map(_says_right, rows))),
        "say_denial": _share(list(map(_refuses, absent))),
        "say_correction": _share(list(map(_corrects, corrected))),
        "say_false_denial": _share([denies(row.answer, row.phrases) for row in present]),
    }


def premise_report(rows: Sequence[QueryRow]) -> tuple[dict, tuple]:
    """The key `premises` of summary.json and a table of the page; nothing where all targets are there."""
    if all(row.exists for row in rows):
        return {}, ()
    scores = {name: None if math.isnan(value) else value for name, value in premise_scores(rows).items()}
    lines = [(label, percent(scores[name])) for name, label in _LABELS.items()]
    return {"premises": scores}, (("True and false premises", ("", "%"), lines),)


def names(answer: str, phrase: str, asked: Sequence[str] = ()) -> bool:
    """Whether an answer names a thing: more than half of the words that tell it stand there, beside those asked for.

    Args:
        answer: Generated text.
        phrase: What it should name.
        asked: Phrases of the question; repeating them names nothing else.
    """
    telling = [word for word in words_of(phrase) if word not in _FILLERS] or words_of(phrase)
    said = set(without(words_of(answer), asked))
    return bool(telling) and 2 * sum(word in said for word in telling) > len(telling)


def _refuses(row: QueryRow) -> bool:
    return not row.found and not row.error and denies(row.answer, row.phrases)


def _corrects(row: QueryRow) -> bool:
    return _refuses(row) and any(names(row.answer, one, row.phrases) for one in row.alternatives)


def _says_right(row: QueryRow) -> bool:
    if row.exists:
        return not row.error and not denies(row.answer, row.phrases)
    return _corrects(row) if row.alternatives else _refuses(row)


def _share(found: Sequence[bool]) -> float:
    return sum(found) / len(found) if found else float("nan")
