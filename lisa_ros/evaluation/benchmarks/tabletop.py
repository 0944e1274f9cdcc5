"""How well a model answers questions about tabletop scenes that it has not seen: masks, refusals and words."""

import re
from collections import Counter
from collections.abc import Sequence

from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.errors import MemoryBudgetError
from lisa_ros.evaluation.benchmarks.candidate_choices import choice_report
from lisa_ros.evaluation.benchmarks.evaluate_dataset import score
from lisa_ros.evaluation.benchmarks.mixed import (
    MIXED,
    OBJECT,
    correction_share,
    mixed_scores,
    objects_named,
    phrase_scores,
)
from lisa_ros.evaluation.benchmarks.rows import QueryRow
from lisa_ros.evaluation.metrics import SegmentationMetrics
from lisa_ros.evaluation.predictors import Predictor
from lisa_ros.simulator import FURTHER_KINDS
from lisa_ros.simulator.palette import COLOURS
from lisa_ros.simulator.shapes import CATEGORIES

_WORD = re.compile(rf"\b({'|'.join((*COLOURS, *CATEGORIES))})s?\b")
FURTHER = 4  # questions of FURTHER_KINDS a scene
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

    split, queries (a scene), variant: as of TabletopDataset. progress: show a bar on stderr. A model that generates its
    answers is asked FURTHER questions as well.

    Returns split, variant, what `tabletop_scores` and, of a model that generates, `phrase_scores` give, and of one that
    chooses among proposals what `choice_report` does, with its tables under "tables".
    Raises ConfigurationError, MemoryBudgetError.
    """
    generates = predictor.mode == "generative"
    dataset = TabletopDataset(split, count, queries, variant, FURTHER if generates else 0)
    rows = []
    for key, scored in score(dataset, predictor, range(count), progress=progress):
        if isinstance(scored, str):
            raise MemoryBudgetError(f"scene {key}: {scored}")
        rows += scored
    phrases = phrase_scores(predictor.lisa, dataset, progress=progress) if generates else {}
    beside, tables = choice_report([row for row in rows if row.kind not in FURTHER_KINDS])
    scores = {"split": split, "variant": variant} | tabletop_scores(rows, generates) | phrases | beside
    return scores | ({"tables": tables} if tables else {})


def tabletop_scores(rows: Sequence[QueryRow], words: bool = True) -> dict:
    """Scores as shares from 0 to 1 unless said otherwise; shares of nothing are None.

    words: the model wrote answers, whose words are to be scored.

    scenes, n, n_present, n_absent: numbers; giou_present, ciou_present: union of the predicted masks against the union
    of the targets, over queries whose targets are in the image; multi_target_giou: of those with several targets;
    refusal: absent queries that got no mask; false_refusal: present queries that got none;
    answer_accuracy: present queries whose answer names each target by colour and category, and nothing else;
    exact_answers: queries whose answer is the reference word for word;
    mixed_n_acc, mixed_t_acc, mixed_n, mixed_n_absent: see `mixed_scores`; correction: see `correction_share`;
    by_kind: the same per kind of query, where answer_accuracy of what is absent is the share of answers that deny;
    seconds_per_query: mean wall time, the encoding of the scene included.

    Only mixed_*, by_kind and seconds_per_query count queries of FURTHER_KINDS.
    """
    every = rows
    rows = [row for row in every if row.kind not in FURTHER_KINDS]
    absent, present = (_masks(row for row in rows if (row.kind == "absent") is where) for where in (True, False))
    mixed = mixed_scores([row for row in every if row.kind == MIXED] if words else ())
    seconds = sum(row.seconds for row in every) + sum({row.key: row.encoding for row in every}.values())
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
        **mixed,
        "correction": correction_share(rows) if words else None,
        "seconds_per_query": seconds / len(every) if every else None,
        "by_kind": {
            kind: _of_kind(kind, [row for row in every if row.kind == kind], words)
            for kind in sorted({row.kind for row in every})
        },
    }


def _of_kind(kind: str, rows: Sequence[QueryRow], words: bool) -> dict:
    masks, said = _masks(rows), _words(rows, words)
    if kind == "absent":
        return {"n": masks.queries, "refusal": _plain(masks.n_acc)} | said
    there = _masks(row for row in rows if row.exists)
    return {
        "n": masks.queries,
        "giou": _plain(there.giou),
        "false_refusal": _plain(1 - there.t_acc),
        **({"refusal": _plain(masks.n_acc)} if there.queries < masks.queries else {}),
    } | said


def _words(rows: Sequence[QueryRow], scored: bool) -> dict[str, float | None]:
    rows = rows if scored else ()
    return {"answer_accuracy": _mean(map(_is_right, rows)), "exact_answers": _mean(map(_is_exact, rows))}


def _masks(rows) -> SegmentationMetrics:
    total = SegmentationMetrics()
    for row in rows:
        total.add_overlap(row.overlap)
    return total


def _is_right(row: QueryRow) -> bool:
    if row.kind == MIXED:
        return Counter(objects_named(row.answer)) == Counter(objects_named(row.reference))
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
    return Counter(objects_named(text)) == Counter(phrases) and not _WORD.search(OBJECT.sub("", text))


def denies(answer: str) -> bool:
    """Whether the answer says that something is not there."""
    return bool(_DENIAL.search(normalised(answer)))
