"""How well a model answers questions about tabletop scenes that it has not seen: masks, refusals and words."""

import re
from collections import Counter
from collections.abc import Sequence

from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.errors import MemoryBudgetError
from lisa_ros.evaluation.benchmarks.candidate_choices import choice_report
from lisa_ros.evaluation.benchmarks.evaluate_dataset import score
from lisa_ros.evaluation.benchmarks.rows import QueryRow
from lisa_ros.evaluation.metrics import SegmentationMetrics
from lisa_ros.evaluation.predictors import Predictor
from lisa_ros.simulator.palette import COLOURS
from lisa_ros.simulator.shapes import CATEGORIES

_COLOUR, _CATEGORY = "|".join(COLOURS), "|".join(CATEGORIES)
_OBJECT = re.compile(rf"\b(?:({_COLOUR}) ({_CATEGORY})|({_CATEGORY}) in ({_COLOUR}))\b")
_WORD = re.compile(rf"\b({_COLOUR}|{_CATEGORY})s?\b")
_DENIAL = re.compile(r"\b(no|not|none|nothing)\b")


def evaluate_tabletop(
    predictor: Predictor,
    split: str = "heldout",
    count: int = 200,
    *,
    queries: int = 8,
    variant: str = "default",
    progress: bool = False,
) -> dict:
    """Asks every question about `count` scenes and scores masks and words, in memory.

    split, queries (a scene), variant: as of TabletopDataset. progress: show a bar on stderr.

    Returns split, variant, and what `tabletop_scores` gives; of a system that chooses among proposals also what
    `choice_report` gives, its tables under "tables". Raises ConfigurationError, MemoryBudgetError.
    """
    dataset = TabletopDataset(split, count, queries, variant)
    rows = []
    for key, scored in score(dataset, predictor, range(count), progress=progress):
        if isinstance(scored, str):
            raise MemoryBudgetError(f"scene {key}: {scored}")
        rows += scored
    beside, tables = choice_report(rows)
    scores = {"split": split, "variant": variant} | tabletop_scores(rows, predictor.mode == "generative") | beside
    return scores | ({"tables": tables} if tables else {})


def tabletop_scores(rows: Sequence[QueryRow], words: bool = True) -> dict:
    """Scores as shares from 0 to 1 unless said otherwise; shares of nothing are None.

    words: the model wrote answers, whose words are to be scored.

    scenes, n, n_present, n_absent: numbers; giou_present, ciou_present: union of the predicted masks against the union
    of the targets, over queries whose targets are in the image; multi_target_giou: of those with several targets;
    refusal: absent queries that got no mask; false_refusal: present queries that got none;
    answer_accuracy: present queries whose answer names each target by colour and category, and nothing else;
    exact_answers: queries whose answer is the reference word for word;
    by_kind: the same per kind of query, where answer_accuracy of "absent" is the share of answers that deny;
    seconds_per_query: mean wall time, the encoding of the scene included.
    """
    absent, present = (_masks(row for row in rows if (row.kind == "absent") is where) for where in (True, False))
    seconds = sum(row.seconds for row in rows) + sum({row.key: row.encoding for row in rows}.values())
    return {
        "scenes": len({row.key for row in rows}),
        "n": len(rows),
        "n_present": present.queries,
        "n_absent": absent.queries,
        "giou_present": _plain(present.giou),
        "ciou_present": _plain(present.ciou),
        "multi_target_giou": _plain(_masks(row for row in rows if len(row.phrases) > 1).giou),
        "refusal": _plain(absent.n_acc),
        "false_refusal": _plain(1 - present.t_acc),
        **_words([row for row in rows if row.kind != "absent"], words),
        "exact_answers": _words(rows, words)["exact_answers"],
        "seconds_per_query": seconds / len(rows) if rows else None,
        "by_kind": {
            kind: _of_kind(kind, [row for row in rows if row.kind == kind], words)
            for kind in sorted({row.kind for row in rows})
        },
    }


def _of_kind(kind: str, rows: Sequence[QueryRow], words: bool) -> dict:
    masks, said = _masks(rows), _words(rows, words)
    if kind == "absent":
        return {"n": masks.queries, "refusal": _plain(masks.n_acc)} | said
    return {"n": masks.queries, "giou": _plain(masks.giou), "false_refusal": _plain(1 - masks.t_acc)} | said


def _words(rows: Sequence[QueryRow], scored: bool) -> dict[str, float | None]:
    rows = rows if scored else ()
    return {"answer_accuracy": _mean(map(_is_right, rows)), "exact_answers": _mean(map(_is_exact, rows))}


def _masks(rows) -> SegmentationMetrics:
    total = SegmentationMetrics()
    for row in rows:
        total.add_overlap(row.overlap)
    return total


def _is_right(row: QueryRow) -> bool:
    return names_exactly(row.answer, row.phrases) if row.present else denies(row.answer)


def _is_exact(row: QueryRow) -> bool:
    return normalised(row.answer) == normalised(row.reference)


def _mean(values) -> float | None:
    values = list(values)
    return sum(values) / len(values) if values else None


def _plain(value: float) -> float | None:
    """JSON has no NaN."""
    return None if value != value else float(value)


def normalised(answer: str) -> str:
    """Lower case, without mask tokens, blanks collapsed and none before punctuation."""
    words = re.sub(r"\s+", " ", answer.replace("[SEG]", " ")).strip().lower()
    return re.sub(r" ([.,;:!?])", r"\1", words)


def names_exactly(answer: str, phrases: tuple[str, ...]) -> bool:
    """Whether the answer names each of the phrases ("red mug") as often as it occurs, and no other object or colour.

    "red mug" and "mug in red" are the same.
    """
    text = normalised(answer)
    named = Counter(f"{before or after} {behind or first}" for before, behind, first, after in _OBJECT.findall(text))
    return named == Counter(phrases) and not _WORD.search(_OBJECT.sub("", text))


def denies(answer: str) -> bool:
    """Whether the answer says that something is not there."""
    return bool(_DENIAL.search(normalised(answer)))
