"""Questions about scenes become the right tokens, masks and checkpoint."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import lisa_ros
from lisa_ros.errors import ConfigurationError
from lisa_ros.model.checkpoint import load
from lisa_ros.simulator import generate_scene, scene_queries
from lisa_ros.simulator.palette import COLOURS
from lisa_ros.simulator.shapes import CATEGORIES
from training.errors import TrainingError
from training.tabletop import joint, language, vision
from training.tabletop.config import load_config
from training.tabletop.joint import TabletopStage, export
from training.tabletop.language_losses import attention_loss
from training.tabletop.packing import IGNORE_INDEX
from training.tabletop.questions import ANSWER_WORDS, KINDS, NOWHERE, QuestionCollator, tokenizer_of, word_ids
from training.tabletop.scenes import CATEGORY_COUNT, HEIGHT, IGNORE, STRIDE, WIDTH, collate, soft_masks
from training.tabletop.tokenizer import write_tokenizer

pytestmark = pytest.mark.unit

CONFIG = Path(__file__).parents[2] / "config" / "training" / "tabletop.yaml"


@pytest.fixture(scope="module")
def small_config(tmp_path_factory):
    """The recipe's configuration with sizes that a test can afford."""
    directory = tmp_path_factory.mktemp("tabletop")
    text = CONFIG.read_text().replace("runs/tabletop", str(directory))
    for key, value in {
        "embed_dim": 24, "num_heads": 2, "stem_channels": "[8, 16, 24]", "stem_depths": "[1, 1, 1]",
        "prompt_embed_dim": 32, "decoder_mlp_dim": 32, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 5, "vocab_size": 700,
    }.items():  # fmt: skip
        before, line = text.split(f"  {key}:", 1)
        text = f"{before}  {key}: {value}\n{line.split(chr(10), 1)[1]}"
    path = directory / "small.yaml"
    path.write_text(text)
    config = load_config(path)
    rng = np.random.default_rng(0)
    texts = [
        text
        for seed in range(8)
        for query in scene_queries(generate_scene(seed), rng, "train", 60)
        for text in (f"USER: {query.text} ASSISTANT:", query.answer.replace("[SEG]", ""))
    ]
    texts += [f"the {word}" for word in (*CATEGORIES, *COLOURS)] * 40  # each of them one token
    write_tokenizer(texts, config.model.vocab_size, config.run_dir / "tokenizer")
    return config


@pytest.fixture(scope="module")
def collator(small_config):
    return QuestionCollator(tokenizer_of(small_config))


@pytest.fixture(scope="module")
def scenes():
    return collate([generate_scene(seed, HEIGHT, WIDTH) for seed in (1, 2)])


def test_dense_truth_is_the_scene(scenes):
    scene = scenes.scenes[0]
    rows = HEIGHT // STRIDE
    assert (scenes.classes[0, rows:] == IGNORE).all() and (scenes.instances[0, HEIGHT:] == 0).all()
    background = scene.instances[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE] == 0
    assert ((scenes.classes[0, :rows].numpy() == 0) == background).all()
    for found in scenes.objects[0]:
        truth = scene.objects[found.instance - 1]
        assert np.allclose(np.array(found.centre) * WIDTH, np.array(truth.centroid) + 0.5, atol=1e-3)
    assert scenes.cells[:, :CATEGORY_COUNT].sum() > 0


def test_soft_masks_keep_the_area(scenes):
    ids = [o.instance for o in scenes.objects[0]]
    masks = soft_masks(scenes.instances, [(i,) for i in ids], [0] * len(ids))
    areas = [int((scenes.instances[0] == i).sum()) for i in ids]
    torch.testing.assert_close(masks.sum((1, 2)) * STRIDE**2, torch.tensor(areas, dtype=torch.float))


def test_every_seg_state_meets_its_own_target(collator, scenes):
    batch = collator(scenes, 12, np.random.default_rng(5), 256)
    packed = batch.packed
    assert len(packed.states) == len(packed.masks) > 0
    for (image, position), mask in zip(packed.states.tolist(), packed.masks.tolist(), strict=True):
        assert packed.labels[image, position] == collator.tokenizer.seg_id
        assert batch.targets[mask].max() > 0
    labelled = packed.labels[packed.labels != IGNORE_INDEX].tolist()
    assert labelled.count(collator.tokenizer.seg_id) == len(packed.states)
    assert labelled.count(collator.tokenizer.eos_id) == 24
    text = collator.tokenizer.decode(labelled)
    assert " not here" in text or " nothing like that" in text


def sentences(labels, ends):
    """Positions of each sentence of the answers in a row of labels; the end token is one of its own."""
    found, current = [], []
    for i, label in enumerate(labels):
        if label != IGNORE_INDEX:
            current.append(i)
        if current and (label == IGNORE_INDEX or label in ends):
            found.append(current)
            current = []
    return found


def full_stops(tokenizer):
    """They are two tokens: behind an added token and behind a word."""
    return {tokenizer.encode(text, bos=False)[-1] for text in ("[SEG].", "here.")}


def test_names_are_the_class_words_that_come_next(collator, scenes):
    batch = collator(scenes, 24, np.random.default_rng(5), 256)
    classes, ends = set(word_ids(collator.tokenizer)[:CATEGORY_COUNT]), full_stops(collator.tokenizer)
    for labels, names in zip(batch.packed.labels.tolist(), batch.names.tolist(), strict=True):
        expected = [IGNORE_INDEX] * len(labels)
        for sentence in sentences(labels, ends):
            for i in sentence:
                following = [labels[k] for k in sentence if k >= i and labels[k] in classes]
                expected[i] = following[0] if following else IGNORE_INDEX
        assert names == expected


def test_answering_states_look_at_the_target_that_comes_next_or_nowhere(collator, scenes):
    batch = collator(scenes, 48, np.random.default_rng(5), 256)
    packed, ends = batch.packed, full_stops(collator.tokenizer)
    attended = dict(zip(map(tuple, batch.attention_positions.tolist()), batch.attention_targets.tolist(), strict=True))
    masks = dict(zip(map(tuple, packed.states.tolist()), packed.masks.tolist(), strict=True))
    but = collator.tokenizer.encode("red, but", bos=False)[-1]
    seen = {"mask": 0, "nowhere": 0, "offer": 0}
    for image, labels in enumerate(packed.labels.tolist()):
        for sentence in sentences(labels, ends):
            shown = [i for i in sentence if (image, i) in masks]
            offer = next((i for i in sentence if labels[i] == but), None)
            for i in sentence:
                following = next((k for k in shown if k >= i), None)
                if following is not None:
                    assert attended[image, i] == masks[image, following]
                    seen["mask"] += 1
                elif shown or (offer is not None and i >= offer - 1):  # the comma stands before it
                    assert (image, i) not in attended
                    seen["offer"] += not shown
                else:
                    assert attended[image, i] == NOWHERE
                    seen["nowhere"] += 1
    assert min(seen.values()) > 0 and len(attended) == seen["mask"] + seen["nowhere"]


def test_decisions_are_the_first_word_and_the_one_behind_the_noun(collator, scenes):
    batch = collator(scenes, 24, np.random.default_rng(5), 256)
    first = torch.nn.functional.pad(batch.packed.labels != IGNORE_INDEX, (1, 0))[:, :-1].logical_not()
    for labels, decisions, begins in zip(batch.packed.labels, batch.decisions, first, strict=True):
        words = {collator.tokenizer.decode([label]) for label in labels[decisions & ~begins].tolist()}
        assert words <= {"in", "is", "are"} and words
        assert {collator.tokenizer.decode([i]) for i in labels[decisions & begins].tolist()} <= {"The", "There"}


def test_reference_answers_are_made_of_the_words_that_the_checkpoint_lists():
    words = set(ANSWER_WORDS)
    for seed in range(12):
        for split in ("train", "heldout"):
            for query in scene_queries(generate_scene(seed), np.random.default_rng(seed), split, 40, kinds=KINDS):
                assert {word.lower() for word in re.findall(r"\w+", query.answer.replace("[SEG]", ""))} <= words, query
    packaged = json.loads((Path(lisa_ros.__file__).parent / "assets" / "tabletop" / "config.json").read_text())
    assert packaged["answer_words"] == list(ANSWER_WORDS)


def test_attention_to_the_target_costs_nothing(collator, scenes):
    batch = collator(scenes, 12, np.random.default_rng(5), 256)
    first, last = batch.packed.visual
    attention = torch.zeros(*batch.packed.ids.shape, batch.packed.ids.shape[1])
    assert attention_loss(attention, batch) > 10
    covered = torch.nn.functional.avg_pool2d(batch.targets[:, None], 16 // STRIDE).flatten(1)
    positions, targets = batch.attention_positions.tolist(), batch.attention_targets.tolist()
    for (image, position), target in zip(positions, targets, strict=True):
        column = 0 if target == NOWHERE else first + int(covered[target].argmax())
        assert column < last
        attention[image, position, column] = 1.0
    assert attention_loss(attention, batch).abs() < 1e-5


def test_losses_train_every_part_and_the_export_loads(small_config, collator, scenes, tmp_path):
    torch.manual_seed(0)
    stage = TabletopStage(small_config, word_ids(collator.tokenizer))
    losses = stage.losses(collator(scenes, 6, np.random.default_rng(1), 256), np.random.default_rng(1))
    losses["loss"].backward()
    without = {name.split(".weight")[0] for name, p in stage.named_parameters() if p.grad is None}
    unused = ("point_embeddings", "not_a_point_embed", "mask_downscaling", "hypernetworks_mlps", "iou_prediction_head")
    assert all(any(part in name for part in unused) for name in without), without
    checkpoint = small_config.run_dir / "tabletop" / "last.pt"
    checkpoint.parent.mkdir(exist_ok=True)
    torch.save({"model": {}, "average": stage.state_dict(), "step": 1}, checkpoint)
    export(small_config, tmp_path / "model")
    loaded = load(tmp_path / "model").network.state_dict()
    for key, value in stage.network.state_dict().items():
        torch.testing.assert_close(loaded[key], value, atol=1e-3, rtol=1e-3)


def test_the_stages_build_on_each_other(small_config, tmp_path, monkeypatch):
    """One step of each: what a stage leaves, the next one takes; the last one exports."""
    monkeypatch.setattr("training.tabletop.stage_transition.BATCHES", 1)
    stages = {
        name: replace(getattr(small_config, name), batch_size=2, steps=1) for name in ("vision", "language", "tabletop")
    }
    config = replace(small_config, run_dir=tmp_path, **stages)
    shutil.copytree(small_config.run_dir / "tokenizer", tmp_path / "tokenizer")
    with pytest.raises(TrainingError, match="training vision"):
        language.train(config)
    for module in (vision, language, joint):
        module.train(config)
    records = [json.loads((tmp_path / name / "log.jsonl").read_text()) for name in stages]
    assert all(np.isfinite(record["loss"]) for record in records)
    assert {"looking", "naming", "pointing"} < records[1].keys() & records[2].keys()
    export(config, tmp_path / "model")
    assert load(tmp_path / "model").network.config.hidden_size == config.model.hidden_size


def test_the_last_stage_goes_on_from_a_checkpoint(small_config, tmp_path, monkeypatch):
    """The helper heads are learnt first; an image encoder whose rate is 0 stays as it is."""
    monkeypatch.setattr("training.tabletop.joint.HEAD_STEPS", 2)
    stage = TabletopStage(small_config, word_ids(tokenizer_of(small_config)))
    checkpoint = small_config.run_dir / "tabletop" / "last.pt"
    checkpoint.parent.mkdir(exist_ok=True)
    torch.save({"average": stage.state_dict()}, checkpoint)
    export(small_config, tmp_path / "base")
    options = replace(small_config.tabletop, batch_size=1, questions_per_scene=6, steps=2, encoder_lr_scale=0.0)
    config = replace(small_config, run_dir=tmp_path / "run", tabletop=options)
    joint.train(config, tmp_path / "base")
    logs = [(tmp_path / "run" / name / "log.jsonl").read_text().splitlines() for name in ("heads", "tabletop")]
    assert [len(lines) for lines in logs] == [2, 2]
    export(config, tmp_path / "model")
    before, after = (load(tmp_path / name).network.state_dict() for name in ("base", "model"))
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and not [key for key in changed if "image_encoder" in key]
    assert any("mask_decoder" in key for key in changed) and "model.embed_tokens.weight" in changed
    with pytest.raises(TrainingError, match="num_hidden_layers"):
        joint.train(
            replace(config, run_dir=tmp_path / "other", model=replace(config.model, num_hidden_layers=6)),
            tmp_path / "base",
        )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("  lr: 1.0e-3", "  learning_rate: 1", "learning_rate"), ("run_dir:", "directory:", "directory")],
)
def test_settings_name_the_wrong_key(tmp_path, old, new, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(CONFIG.read_text().replace(old, new))
    with pytest.raises(ConfigurationError, match=message):
        load_config(path)
