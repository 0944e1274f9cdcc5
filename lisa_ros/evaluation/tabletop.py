"""How well a model answers questions about tabletop scenes that it has not seen, with the answers that it generates."""

import time
from collections import defaultdict
from dataclasses import dataclass, field

from tqdm import tqdm

from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.evaluation.answers import denies, names_exactly, normalised
from lisa_ros.evaluation.metrics import SegmentationMetrics
from lisa_ros.evaluation.run import union_truth
from lisa_ros.types import SegmentationResult, Turn


@dataclass
class _Tally:
    masks: SegmentationMetrics = field(default_factory=SegmentationMetrics)
    right_answers: int = 0
    exact_answers: int = 0

    def add(self, turn: Turn, result: SegmentationResult):
        phrases = tuple(target.phrase for target in turn.targets)
        truth = union_truth(turn)
        self.masks.add(result.union_mask, truth)
        right = denies(result.answer) if truth is None else names_exactly(result.answer, phrases)
        self.right_answers += right
        self.exact_answers += normalised(result.answer) == normalised(turn.answer)


def evaluate_tabletop(
    lisa,
    split: str = "heldout",
    count: int = 200,
    *,
    queries: int = 8,
    variant: str = "default",
    progress: bool = False,
) -> dict:
    """Asks every question about `count` scenes and scores masks and words. lisa: a `Lisa`.

    split, queries (a scene), variant: as of TabletopDataset. progress: show a bar on stderr.

    Returns, as shares from 0 to 1 unless said otherwise:
    n: number of queries; scenes; giou_present, ciou_present: union of the predicted masks against the union of the
    targets, over queries whose targets are in the image; multi_target_giou: of those with several targets;
    refusal: absent queries that got no mask; false_refusal: present queries that got none;
    answer_accuracy: present queries whose answer names each target by colour and category, and nothing else;
    exact_answers: queries whose answer is the reference word for word;
    by_kind: the same per kind of query, where answer_accuracy of "absent" is the share of answers that deny;
    seconds_per_query: mean wall time, the encoding of the scene included. Shares of nothing are None.
    Raises ConfigurationError.
    """
    dataset = TabletopDataset(split, count, queries, variant)
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    several = SegmentationMetrics()
    seconds = 0.0
    for sample in tqdm(dataset, total=len(dataset), desc=dataset.source, unit="scene", disable=not progress):
        started = time.perf_counter()
        frame = lisa.encode(sample.image)
        results = [lisa.chat(frame, turn.question) for turn in sample.turns]
        seconds += time.perf_counter() - started
        for turn, result in zip(sample.turns, results, strict=True):
            tallies[turn.kind].add(turn, result)
            if len(turn.targets) > 1:
                several.add(result.union_mask, union_truth(turn))
    return {"split": split, "variant": variant, "scenes": count} | _report(tallies, several, seconds)


def _report(tallies: dict[str, _Tally], several: SegmentationMetrics, seconds: float) -> dict:
    present, absent = SegmentationMetrics(), tallies["absent"].masks if "absent" in tallies else SegmentationMetrics()
    for kind, tally in tallies.items():
        if kind != "absent":
            present.merge(tally.masks)
    n = present.queries + absent.queries
    right = sum(tally.right_answers for kind, tally in tallies.items() if kind != "absent")
    return {
        "n": n,
        "n_present": present.queries,
        "n_absent": absent.queries,
        "giou_present": _share(present.giou),
        "ciou_present": _share(present.ciou),
        "multi_target_giou": _share(several.giou),
        "refusal": _share(absent.n_acc),
        "false_refusal": _share(1 - present.t_acc),
        "answer_accuracy": right / present.queries if present.queries else None,
        "exact_answers": sum(tally.exact_answers for tally in tallies.values()) / n if n else None,
        "seconds_per_query": seconds / n if n else None,
        "by_kind": {kind: _of_kind(kind, tallies[kind]) for kind in sorted(tallies)},
    }


def _of_kind(kind: str, tally: _Tally) -> dict:
    masks = tally.masks
    words = {
        "answer_accuracy": tally.right_answers / masks.queries,
        "exact_answers": tally.exact_answers / masks.queries,
    }
    if kind == "absent":
        return {"n": masks.queries, "refusal": _share(masks.n_acc)} | words
    return {"n": masks.queries, "giou": _share(masks.giou), "false_refusal": _share(1 - masks.t_acc)} | words


def _share(value: float) -> float | None:
    """JSON has no NaN."""
    return None if value != value else float(value)
