"""SESAME's whole evaluation on the miniature data sets: answers, masks, see accuracy and cIoU."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from sesame_golden import masks_of

from lisa_ros.cli import main
from lisa_ros.datasets.reasonseg import ReasonSegDataset
from lisa_ros.datasets.refer import OTHER_SPLITS, ReferDataset
from lisa_ros.evaluation.benchmarks.premises import PremiseMetrics, premise_scores
from lisa_ros.evaluation.benchmarks.rows import read_all
from lisa_ros.evaluation.metrics import overlap_of

pytestmark = pytest.mark.unit
BATCH = 5  # queries about one picture that the original asks at once
ROUNDING = 2e-3  # of mask logits


def open_dataset(root, name):
    if name.startswith("ReasonSeg"):
        return ReasonSegDataset(root, "val", false_premises=True)
    return ReferDataset(root, name, "val", OTHER_SPLITS.get(name))


def rows_of(data, sample):
    """The turns that are asked: every phrase, or the first question and the first false premise of ReasonSeg."""
    if isinstance(data, ReferDataset):
        return list(sample.turns)
    absent = [turn.targets[0].mask is None for turn in sample.turns]
    return [sample.turns[absent.index(kind)] for kind in (False, True)]


def margin_of(case, index, position):
    """The smallest logit margin of the batch that a question of an image was in."""
    calls = iter(case["calls"])
    for number, image in enumerate(case["images"]):
        left = len(image["conversation_list"])
        for first in range(0, left, BATCH):
            call = next(calls)
            assert call["batch"] == min(BATCH, left - first)
            if number == index and first <= position < first + BATCH:
                return call["min_top2_margin"]
    raise AssertionError(f"no batch has question {position} of image {index}")


def test_parity_of_the_evaluation(variant, data_root):
    lisa, golden = variant.lisa, variant.json("metrics")["eval_sesame_miniature"]
    for name, case in golden.items():
        data, metrics, exact = open_dataset(data_root, name.split("|")[0]), PremiseMetrics(), True
        paths = [data.files(index)[0].relative_to(data_root).as_posix() for index in range(len(data))]
        for index, image in enumerate(case["images"]):
            sample = data[paths.index(image["image"])]
            turns, frame = rows_of(data, sample), lisa.encode(sample.image)
            asked = image["conversation_list"]
            for turn, question in zip(turns, asked, strict=True):
                assert turn.question.lower() in question.lower()
            results = lisa.chat_batch(frame, asked, max_new_tokens=case["max_new_tokens_used"], unmasked_padding=True)
            masks = []
            for position, (turn, result) in enumerate(zip(turns, results, strict=True)):
                segmented = masks_of(result)
                mask = segmented[0].mask if segmented else np.zeros(sample.image.shape[:2], bool)
                masks.append(mask)
                exists = turn.targets[0].mask is not None
                assert exists == image["gt_exists"][position]
                truth = turn.targets[0].mask if exists else np.zeros_like(mask)
                metrics.add(overlap_of(mask, truth), exists)
                assert int(truth.sum()) == image["gt_sum"][position]
                if margin_of(case, index, position) < 1e-3:  # then rounding may choose another token
                    exact = False
                    continue
                assert image["pred_sent"][position].count("[SEG]") == len(segmented)
                assert image["pred_exists"][position] == bool(mask.any()), (name, position)
                unsure = int((np.abs(segmented[0].logits) < ROUNDING).sum()) if segmented else 0
                assert abs(int(mask.sum()) - image["pred_sum"][position]) <= unsure, (name, position)
            digest = hashlib.sha256(np.ascontiguousarray(np.stack(masks).astype(np.uint8)).tobytes()).hexdigest()
            exact = exact and digest == image["pred_sha256"]
        assert metrics.queries == case["n"]
        assert metrics.see_accuracy == pytest.approx(case["see_acc"], abs=1e-6), name
        assert metrics.ciou == pytest.approx(case["cIoU"], abs=1e-6 if exact else 1e-2), name
        if exact:
            assert (metrics.intersection, metrics.union) == (case["intersection"][1], case["union"][1]), name


def test_the_command_scores_premises_and_can_be_repeated(tiny, data_root, tmp_path):
    """Twice the same rows; the scores are those of the answers that the engine gives."""
    rows = []
    for name in ("first", "second"):
        out = tmp_path / name
        assert main([
            "eval", "fprefcoco", "--data", str(data_root), "--split", "val", "--mode", "generative", "--out", str(out),
            "--model", str(tiny.checkpoint), "--vision-tower", str(tiny.directory / "clip_tiny"), "--style", "sesame",
            "--max-new-tokens", "8", "--device", "cpu", "--limit", "1",
        ]) == 0  # fmt: skip
        found = read_all(out).rows
        assert found and {row.exists for row in found} == {True, False}
        rows.append([replace(row, seconds=0.0, encoding=0.0) for row in found])
    assert rows[0] == rows[1]
    summary = json.loads((tmp_path / "first" / "summary.json").read_text())
    expected = {name: value for name, value in premise_scores(rows[0]).items() if value == value}
    assert {name: summary["premises"][name] for name in expected} == pytest.approx(expected)
