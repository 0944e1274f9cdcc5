"""Systems that choose compared on equal data: pools are what they say, each system is taught its own scene's masks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.benchmarks.proposal_oracle import oracle_overlaps
from training.__main__ import main
from training.comparison.answers import answers_path
from training.comparison.choosers import compare
from training.comparison.choosers.compare import run_system
from training.comparison.choosers.config import ChooserConfig, load_config
from training.comparison.choosers.elisa_base import base_parts
from training.comparison.choosers.elisa_stage import MaskWordCollator, MaskWordStage
from training.comparison.choosers.llmseg_stage import (
    ProposalPhraseCollator,
    ProposalPhraseStage,
    llmseg_network,
)
from training.comparison.choosers.points import point_sam
from training.comparison.choosers.pools import generated, noisy_truth
from training.comparison.choosers.score_system import read_answers
from training.comparison.questions import scene_batches
from training.comparison.world import scene_of
from training.errors import TrainingError
from training.model.network import visual_tokens
from training.tabletop.packing import IGNORE_INDEX

pytestmark = pytest.mark.unit

CONFIG = Path(__file__).parents[2] / "config" / "training" / "compare_choosers.yaml"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    config = load_config(CONFIG)
    return replace(
        config,
        run_dir=tmp_path_factory.mktemp("choosers"),
        world=replace(config.world, phrases=3),
        training=replace(config.training, steps=2, decay=1),
        pools=replace(config.pools, point_steps=1, points_per_side=2),
    )


def test_noisy_truth_is_near_the_truth_and_always_the_same(config):
    singles = []
    for seed in range(6):
        scene = scene_of(config.world, seed)
        found = noisy_truth(config.pools, scene)
        assert found == noisy_truth(config.pools, scene) and len(found) >= config.pools.background
        assert [item.area for item in found.items] == sorted((item.area for item in found.items), reverse=True)
        for item in scene.objects:
            singles.append(oracle_overlaps(found, scene.mask(item.id), scene.instances.shape)[0].iou)
    assert 0.7 < np.mean(singles) < 1, "noise that is no noise, or hides what is there"
    exact = replace(config.pools, dropped=0.0, edge=0, parts=0.0, joined=0.0, background=0)
    scene = scene_of(config.world, 3)
    masks = noisy_truth(exact, scene).masks
    assert {mask.tobytes() for mask in masks} == {
        scene.mask(one.id).tobytes() for one in scene.objects if one.pixels >= 12
    }


def test_points_are_learnt_and_the_generators_masks_are_made_once(config):
    sam = point_sam(config)
    scene = scene_of(config.world, 5)
    first = generated(config, sam, scene)
    assert generated(config, None, scene) == first, "the kept ones are read, and no generator is asked"
    log = (config.run_dir / "points" / "log.jsonl").read_text().splitlines()
    assert len(log) == 1 and 0 <= json.loads(log[0])["iou"] <= 1


@pytest.mark.parametrize("embedding", ["masked_image", "masked_pooling"])
def test_an_elisa_is_taught_the_masks_of_its_own_scene(config, embedding):
    system = ChooserConfig("elisa", "elisa", embedding=embedding, wording="varied")
    checkpoint = llmseg_network(config.source)  # any network of the packaged model's sizes
    network, tokenizer, embedder = base_parts(checkpoint, system)
    collate = MaskWordCollator(config, system, tokenizer, embedder, visual_tokens(checkpoint.network))
    scenes, rng = next(scene_batches(config, 0))
    batch = collate(scenes, rng)
    labels, first = batch.answers.labels, tokenizer.first_candidate
    counted = 0
    for image, (_, sample) in enumerate(scenes):
        said = labels[image][labels[image] >= first] - first
        assert all(batch.answers.owners[int(index)] == image for index in said)
        assert len(said) == sum(len(turn.targets) for turn in sample.turns)
        assert len(set(said.tolist())) == len({t.instance_id for turn in sample.turns for t in turn.targets})
        counted += len(said)
    assert int((batch.packed.labels >= first).sum()) == counted > 0
    stage = MaskWordStage(network, tokenizer)
    stage.losses(batch)["loss"].backward()
    assert network.adapter.mlp[0].weight.grad.abs().sum() > 0
    assert network.model.layers[0].self_attn.q_proj.weight.grad.abs().sum() > 0
    assert all(one.grad is None for one in network.llava.lisa.sam.image_encoder.parameters())
    kept = embedder(scenes[0][0].image, scenes[0][0].mask(1)[None])
    assert torch.allclose(kept.norm(dim=-1), torch.ones(1))
    with torch.no_grad():
        rows = network.rows(batch.answers.embeddings)
        words = network.llava.get_input_embeddings().weight
    assert 0.3 < rows.embedding.std() / words.std() < 3, "rows of masks begin as words' rows are"


def test_llmseg_is_taught_which_proposal_is_the_target(config):
    checkpoint = llmseg_network(config.source)
    scenes, rng = next(scene_batches(config, 0))
    batch = ProposalPhraseCollator(config, checkpoint)(scenes, rng)
    for targets, (scene, _), asked in zip(batch.proposals, scenes, batch.phrases.targets, strict=True):
        assert targets.iou.shape == (len(asked), len(noisy_truth(config.pools, scene)))
        for row, target in zip(targets.iou, asked, strict=True):
            single, _ = oracle_overlaps(targets.proposals, target.mask, target.mask.shape)
            assert float(row.max()) == pytest.approx(single.iou, abs=1e-5)
    stage = ProposalPhraseStage(checkpoint.network)
    stage.losses(batch)["loss"].backward()
    model = checkpoint.network.model
    assert model.lisa_embedding_head[0].weight.grad.abs().sum() > 0
    assert model.lisa_iou_head[0].weight.grad.abs().sum() > 0
    assert all(one.grad is None for one in checkpoint.network.sam.image_encoder.parameters())
    assert not any("dinov2" in name for name in stage.state_dict())
    assert (batch.phrases.packed.labels != IGNORE_INDEX).any()


@pytest.mark.timeout(400)
def test_command_trains_resumes_and_writes_the_tables(tmp_path, monkeypatch):
    """In this process: that of compare-styles tests the others, which both commands start alike."""

    def in_this_process(config, config_file, command, option):
        assert (config_file, command, option) == (path, "compare-choosers", "--system")
        for system in config.systems:
            run_system(config, system)

    monkeypatch.setattr(compare, "run_processes", in_this_process)
    text = CONFIG.read_text()
    systems = text[text.index("systems:") : text.index("pools:")]
    few = (
        "systems:\n  - {name: plain, system: lisa}\n  - {name: chosen, system: llmseg}\n"
        "  - {name: said, system: elisa, embedding: masked_pooling, adapter_pretraining: 2, wording: varied}\n\n"
    )
    for old, new in {
        "runs/choosers ": f"{tmp_path / 'run'} ", systems: few, "steps: 240 ": "steps: 2 ", "decay: 120 ": "decay: 1 ",
        "processes: 2": "processes: 1", "phrases: 8": "phrases: 2", "batch_size: 2": "batch_size: 1",
        "scenes: 100 ": "scenes: 2 ", "phrases: 4 ": "phrases: 2 ", "max_new_tokens: 48": "max_new_tokens: 12",
        "point_steps: 480": "point_steps: 1", "points_per_side: 16": "points_per_side: 2", "pictures: 3": "pictures: 1",
    }.items():  # fmt: skip
        assert old in text, old
        text = text.replace(old, new)
    path = tmp_path / "small.yaml"
    path.write_text(text)
    assert main(["compare-choosers", "--config", str(path)]) == 0
    small = load_config(path)
    first = read_answers(small, "said")
    trained = (tmp_path / "run" / "said" / "last.pt").stat().st_mtime
    answers = answers_path(small, "said")
    answers.write_text("".join(line + "\n" for line in answers.read_text().splitlines() if f"{first[0].scene}" in line))
    assert main(["compare-choosers", "--config", str(path)]) == 0
    rows = read_answers(small, "said")
    said = [sorted((row.scene, row.pool, row.phrase, row.iou) for row in part) for part in (rows, first)]
    assert said[0] == said[1]
    assert (tmp_path / "run" / "said" / "last.pt").stat().st_mtime == trained
    assert all(row.iou <= row.union + 1e-6 for name in ("chosen", "said") for row in read_answers(small, name))
    assert all(row.f1 is None for row in read_answers(small, "plain"))
    report = json.loads((tmp_path / "run" / "comparison.json").read_text())
    assert set(report["scores"]) == {"noisy truth", "generator"}
    assert report["core_minutes"]["said"] > 0 and report["nearest_words"]["said"]["shown"] > 0
    for name in ("comparison.md", "comparison.png", "answers.jpg", "interleaved.jpg"):
        assert (tmp_path / "run" / name).stat().st_size > 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("absent_share: 0 ", "absent_share: 0.5 ", "world.absent_share is 0.5; it must be 0"),
        ("name: llmseg, system: llmseg", "name: llmseg, system: llmseg, wording: varied", "only elisa|of elisa alone"),
        ("name: llmseg,", "name: elisa,", "none of them twice"),
        ("system: llmseg", "system: readmask", "readmask"),
        ("dropped: 0.1", "dropped: 1.5", "pools.dropped is 1.5"),
        ("points_per_side: 16", "points_per_side: 0", "points_per_side"),
        ("adapter_pretraining: 200", "adapter_pretraining: -1", "adapter_pretraining"),
    ],
)
def test_wrong_values_are_named(tmp_path, old, new, words):
    text = CONFIG.read_text()
    assert old in text
    path = tmp_path / "wrong.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigurationError, match=words):
        load_config(path)


def test_command_and_recipe_belong_together(capsys):
    assert main(["compare-styles", "--config", str(CONFIG)]) == 2
    assert "recipe compare_styles and the command compare-styles belong together" in capsys.readouterr().err
    assert main(["compare-choosers", "--config", str(CONFIG), "--system", "none"]) == 2
    assert "--system none: there are lisa, elisa, llmseg" in capsys.readouterr().err


def test_damaged_answers_are_named(config, tmp_path):
    config = replace(config, run_dir=tmp_path)
    (tmp_path / "lisa").mkdir()
    answers_path(config, "lisa").write_text('{"scene": 1}\n')
    with pytest.raises(TrainingError, match=r"answers_\d+_steps.jsonl, line 1 is damaged"):
        read_answers(config, "lisa")
