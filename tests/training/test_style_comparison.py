"""Styles compared on equal data: phrases are true of their scenes, every style is taught them, scores are paired."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.checkpoint import load
from lisa_ros.model.styles import STYLES
from lisa_ros.simulator.nouns import plural
from lisa_ros.types import FALSE_PREMISE, LOC, REJ, SEG
from training.__main__ import main
from training.comparison.answers import answers_path
from training.comparison.config import load_config
from training.comparison.questions import PhraseCollator, phrase_batches
from training.comparison.score_style import PhraseRow, read_answers
from training.comparison.scores import columns, scores
from training.comparison.starting_point import restyled
from training.comparison.train_style import StyleStage, core_seconds
from training.comparison.world import NOTHING, ONE, SEVERAL, phrase_sample, scene_of
from training.errors import TrainingError
from training.tabletop.packing import IGNORE_INDEX

pytestmark = pytest.mark.unit

CONFIG = Path(__file__).parents[2] / "config" / "training" / "compare_styles.yaml"


@pytest.fixture(scope="module")
def config():
    return load_config(CONFIG)


@pytest.fixture(scope="module", params=sorted(name for name, style in STYLES.items() if not style.chooses))
def checkpoint(request, tmp_path_factory):
    return restyled("tabletop", request.param, tmp_path_factory.mktemp(request.param))


def test_phrases_are_true_of_their_scene(config):
    found = []
    for seed in range(12):
        scene = scene_of(config.world, seed)
        assert {one.category for one in scene.objects} <= set(config.world.categories)
        sample = phrase_sample(config.world, scene, 12)
        again = phrase_sample(config.world, scene, 12)
        assert [turn.question for turn in sample.turns] == [turn.question for turn in again.turns]
        found += [(scene, turn) for turn in sample.turns]
    for scene, turn in found:
        named = [one for one in scene.objects if turn.question in _names(one)]
        shown = {target.instance_id for target in turn.targets if target.mask is not None}
        assert shown == {one.id for one in named}, turn.question
        assert turn.kind == (ONE if len(shown) == 1 else SEVERAL) if shown else turn.kind in (NOTHING, FALSE_PREMISE)
        if turn.kind == FALSE_PREMISE:
            alternative = turn.targets[0].alternative
            assert alternative.mask.any() and alternative.phrase.split()[1] == turn.question.split()[1]
    assert {turn.kind for _, turn in found} == {ONE, SEVERAL, NOTHING, FALSE_PREMISE}


def _names(item):
    singular = item.category, f"{item.colour} {item.category}"
    return {*singular, *map(plural, singular)}


def test_every_style_is_taught_the_same_phrases(checkpoint, config):
    collator = PhraseCollator(checkpoint, config.world.phrases_per_question)
    batch = next(phrase_batches(config, collator, 3))
    again = next(phrase_batches(config, collator, 3))
    assert torch.equal(batch.packed.ids, again.packed.ids)
    kinds = checkpoint.network.style.kinds(checkpoint.tokenizer)
    for (image, position), kind in zip(batch.events.tolist(), sum(batch.kinds, ()), strict=True):
        assert kinds[int(batch.packed.labels[image, position])] == kind
    for kinds, masks in zip(batch.kinds, batch.masks, strict=True):
        targets = [kind for kind in kinds if kind in (SEG, REJ)]
        assert [kind == SEG for kind in targets] == [bool(mask.any()) for mask in masks]
        assert kinds.count(LOC) == (targets.count(SEG) if checkpoint.network.config.style == "cores" else 0)
    seeds = [20_000_000 + 3 * config.training.batch_size + number for number in range(config.training.batch_size)]
    samples = [phrase_sample(config.world, scene_of(config.world, seed), config.world.phrases) for seed in seeds]
    present = [any(target.mask is not None for target in turn.targets) for one in samples for turn in one.turns]
    assert sum(kind == SEG for kind in sum(batch.kinds, ())) == sum(present)
    if checkpoint.network.style.rejects:
        assert sum(kind == REJ for kind in sum(batch.kinds, ())) == len(present) - sum(present)


def test_losses_reach_what_learns_and_leave_the_image_encoder(checkpoint, config):
    small = replace(config, training=replace(config.training, batch_size=1), world=replace(config.world, phrases=4))
    stage = StyleStage(checkpoint.network)
    batch = next(phrase_batches(small, PhraseCollator(checkpoint, 4), 0))
    stage.losses(batch)["loss"].backward()
    network = checkpoint.network
    assert network.model.layers[0].self_attn.q_proj.weight.grad.abs().sum() > 0
    assert network.model.text_hidden_fcs[0][0].weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.sam.image_encoder.parameters())
    assert (batch.packed.labels != IGNORE_INDEX).any()


def test_new_tokens_begin_near_seg_and_the_rest_is_kept(tmp_path):
    base, gsva = load("tabletop"), restyled("tabletop", "gsva", tmp_path)
    before, rows = base.network.model.embed_tokens.weight, gsva.network.model.embed_tokens.weight
    assert torch.equal(rows[: len(before)], before) and len(rows) == len(before) + 1
    seg, new = before[base.tokenizer.seg_id], rows[-1]
    assert 0 < (new - seg).norm() < 0.5 * (before - seg).norm(dim=1)[1:].median()
    assert gsva.network.config.mask_query == dict(STYLES["gsva"].mask_query)
    assert gsva.tokenizer.encode("[REJ]", bos=False) == [len(before)]


@pytest.mark.timeout(400)  # three processes load the model, two of them after one another
def test_command_trains_resumes_and_writes_the_table(config, tmp_path):
    text = CONFIG.read_text()
    for old, new in {
        "runs/styles ": f"{tmp_path / 'run'} ", "[lisa, gsva, sesame, cores]": "[lisa, gsva]",
        "steps: 600 ": "steps: 2 ", "decay: 300 ": "decay: 1 ", "processes: 4": "processes: 1",
        "phrases: 12": "phrases: 3", "scenes: 100 ": "scenes: 2 ",
        "batch_size: 2": "batch_size: 1", "max_new_tokens: 96": "max_new_tokens: 8", "pictures: 3": "pictures: 1",
    }.items():  # fmt: skip
        assert old in text, old
        text = text.replace(old, new)
    path = tmp_path / "small.yaml"
    path.write_text(text)
    assert main(["compare-styles", "--config", str(path), "--style", "lisa"]) == 0
    small = load_config(path)
    answers = answers_path(small, "lisa")
    first, trained = read_answers(small, "lisa"), (tmp_path / "run" / "lisa" / "last.pt").stat().st_mtime
    answers.write_text("".join(line + "\n" for line in answers.read_text().splitlines() if f"{first[0].scene}" in line))
    assert main(["compare-styles", "--config", str(path)]) == 0
    rows = read_answers(small, "lisa")
    assert [(row.scene, row.phrase, row.intersection) for row in rows] == [
        (row.scene, row.phrase, row.intersection) for row in first
    ]
    assert (tmp_path / "run" / "lisa" / "last.pt").stat().st_mtime == trained
    report = json.loads((tmp_path / "run" / "comparison.json").read_text())
    assert set(report["scores"]) == {"lisa", "gsva"} and report["core_minutes"]["gsva"] > 0
    assert report["scores"]["gsva"]["n_acc"]["phrases"] == sum(not row.present for row in rows)
    for name in ("comparison.md", "comparison.png", "answers.jpg"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    assert core_seconds(tmp_path / "run" / "lisa" / "log.jsonl") > 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[lisa, gsva, sesame, cores]", "[lisa]", "styles is lisa; give two or more"),
        ("[lisa, gsva, sesame, cores]", "[lisa, lisa2]", "style 'lisa2' is not known"),
        ("absent_share: 0.5", "absent_share: 1.0", "world.absent_share is 1.0; it must be between 0 and 1"),
        ("[mug, bottle", "[mug, teapot", "categories="),
        ("[mug, bottle", "[mug, mug", "none of them twice"),
        ("processes: 4", "processes: 0", "processes is 0; it must be above 0"),
        ("decay: 300 ", "decay: 601 ", "training.decay is 601; there are 600 steps"),
        ("warmup: 6", "warmup: 0", "training.warmup is 0; it must be above 0"),
    ],
)
def test_wrong_values_are_named(tmp_path, old, new, words):
    text = CONFIG.read_text()
    assert old in text
    path = tmp_path / "wrong.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigurationError, match=words):
        load_config(path)


def test_gains_are_of_the_same_scenes(config):
    """A style that is better on every scene gains for sure, though the scores themselves are wide apart."""
    rng = np.random.default_rng(0)
    good = [_row(scene, int(rng.integers(100, 900))) for scene in range(40)]
    better = [replace(row, intersection=row.intersection + 50) for row in good]
    found = scores({"lisa": good, "gsva": better}, columns(config.evaluation))
    first, second = found["lisa"]["giou"], found["gsva"]["giou"]
    assert second.interval.low < first.interval.high and second.gain_interval.low > 0
    assert second.gain == pytest.approx(0.05) and second.gain_interval.low == pytest.approx(0.05)
    assert first.gain == 0 and first.rows == 40
    assert np.isnan(found["lisa"]["n_acc"].value) and found["lisa"]["n_acc"].rows == 0


def _row(scene, intersection):
    return PhraseRow(scene, "mug", ONE, 3, 1000, False, True, intersection, 1000, 0.1)


def test_damaged_answers_are_named_and_other_scenes_left_out(config, tmp_path):
    config = replace(config, run_dir=tmp_path, evaluation=replace(config.evaluation, scenes=2))
    (tmp_path / "lisa").mkdir()
    path = answers_path(config, "lisa")
    rows = [_row(30_000_000 + number, 500) for number in range(4)]
    path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    assert read_answers(config, "lisa") == rows[:2] and read_answers(config, "gsva") == []
    path.write_text('{"scene": 1}\n')
    with pytest.raises(TrainingError, match=r"answers_\d+_steps.jsonl, line 1 is damaged"):
        read_answers(config, "lisa")
