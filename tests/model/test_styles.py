"""Styles: what each renders and expects, how files tell it, and that its checkpoints round-trip."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import SAM, TINY, change_json
from hypothesis import given
from hypothesis import strategies as st

from lisa_ros import Lisa
from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.checkpoint import load
from lisa_ros.model.grounding import parents_of, state_positions
from lisa_ros.model.saving import save_checkpoint
from lisa_ros.model.styles import STYLES, RenderOptions, get_style, recognise
from lisa_ros.model.unmerged import load_unmerged, merge_adapters
from lisa_ros.types import LOC, REJ, SEG, GroundingEvent, TruthTarget, Turn

pytestmark = pytest.mark.unit
GSVA = Path(__file__).parents[1] / "golden" / "gsva_tiny"
GSVA_OPTIONS = {
    "vision_tower": GSVA / "clip_tiny",
    "sam": json.loads((GSVA / "oracle_meta.json").read_text())["sam"],
}

phrases = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)
masks = st.sampled_from([None, np.eye(4, dtype=bool), np.ones((4, 4), bool)])
turns = st.builds(
    lambda text, found, explained, sentence: Turn(
        text, tuple(TruthTarget(text, mask) for mask in found), "[SEG]. It is so." if explained else "[SEG].",
        is_sentence=sentence,
    ),
    phrases, st.lists(masks, min_size=1, max_size=3), st.booleans(), st.booleans(),
)  # fmt: skip


def target_tokens(style, text):
    """Kinds of the target tokens of a text, in their order."""
    found = sorted((text.find(token, at), kind) for token, kind in style.tokens.items() for at in range(len(text)))
    return [kind for _, kind in dict.fromkeys((at, kind) for at, kind in found if at >= 0) if kind in (SEG, REJ)]


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@given(st.lists(turns, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_every_rendered_sample_has_a_target_for_each_token(style, turns, seed):
    conversations = style.render(turns, RenderOptions(text_answers=0.3), np.random.default_rng(seed))
    assert conversations
    for conversation in conversations:
        for turn in conversation:
            kinds = target_tokens(style, turn.answer)
            assert kinds == [SEG if target.mask is not None else REJ for target in turn.targets]
            assert not target_tokens(style, turn.question)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_equal_draws_render_equal_samples(style):
    turns = [Turn("a mug", (TruthTarget("a mug", np.ones((2, 2), bool)),), "[SEG].")] * 3
    drawn = [style.render(turns, RenderOptions(), np.random.default_rng(3)) for _ in range(2)]
    assert [[(t.question, t.answer) for t in c] for c in drawn[0]] == [
        [(t.question, t.answer) for t in c] for c in drawn[1]
    ]


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_prompts_have_a_target_token_for_each_phrase(style):
    asked = ["the mug", "a fork", "Bowl."]
    prompts = style.query_prompts(asked, style.mask_query)
    assert [phrase for prompt in prompts for phrase in prompt.phrases] == asked
    for prompt in prompts:
        if prompt.answer is not None:
            assert target_tokens(style, prompt.answer) == [SEG] * len(prompt.phrases)
    for sentence in (False, True):
        assert style.turn_prompt("the mug", style.mask_query, sentence=sentence).phrases == ("the mug",)


def test_gsva_learns_samples_of_which_everything_is_absent():
    style, rng = get_style("gsva"), np.random.default_rng(0)
    absent = [Turn(text, (TruthTarget(text, None),), "") for text in ("a zebra", "SEGA sign")]
    ((turn,),) = style.render(absent, RenderOptions(), rng)
    assert turn.answer.count("[REJ]") == 2 and "[SEG]" not in turn.answer
    assert "sega sign" in turn.answer.lower() and "REJA" not in turn.answer  # a phrase is never changed


def test_gsva_decides_by_the_true_token():
    """Any other token than the true one counts as the other decision."""
    style = get_style("gsva")
    assert [style.forced_kind(SEG, argmax) for argmax in (SEG, REJ, None)] == [SEG, REJ, REJ]
    assert [style.forced_kind(REJ, argmax) for argmax in (SEG, REJ, None)] == [SEG, REJ, SEG]
    assert get_style("lisa").forced_kind(SEG, None) == SEG


def test_presence_is_a_probability():
    kinds, logits = {3: SEG, 4: REJ}, torch.tensor([9.0, 0, 0, 1, 2])
    assert get_style("gsva").presence(logits, kinds) == pytest.approx(1 / (1 + np.e))
    assert get_style("lisa").presence(logits, {3: SEG}) == pytest.approx(float(torch.softmax(logits, 0)[3]))
    assert get_style("gsva").threshold(0.0) == 0.5 and get_style("gsva").threshold(0.7) == 0.7
    assert get_style("lisa").threshold(0.0) == 0.0


def test_the_nth_loc_is_the_parent_of_the_nth_seg():
    assert parents_of([LOC, SEG, LOC, SEG]) == [None, 0, None, 2]
    assert parents_of([SEG, SEG, LOC, LOC]) == [2, 3, None, None]
    assert parents_of([SEG, REJ, LOC, SEG]) == [2, None, None, None]
    assert parents_of([LOC]) == [None] and parents_of([]) == []


@given(st.integers(1, 600), st.integers(0, 5))
def test_positions_do_not_depend_on_the_image_but_for_its_length(visual, before):
    ids = [1, *[5] * before, -200, 6, 9, 7]
    event = GroundingEvent(SEG, before + 3)
    assert state_positions([event], ids, visual) == [before + 3 - 1 + visual - 1]


@pytest.mark.parametrize(
    ("values", "added", "name"),
    [
        ({"style": "gsva"}, ["[SEG]"], "gsva"),
        ({}, ["[SEG]", "[REJ]"], "gsva"),
        ({"architectures": ["LisaGSVAForCausalLM"]}, ["[SEG]"], "gsva"),
        ({"architectures": ["LISAForCausalLM"]}, ["[SEG]"], "lisa"),
        ({"architectures": None}, ["[SEG]", "<im_start>"], "lisa"),
        ({}, [], "lisa"),
    ],
)
def test_files_tell_the_style(values, added, name):
    assert recognise(values, added, "here").name == name


def test_a_guess_is_logged(caplog):
    caplog.set_level(logging.INFO)
    assert recognise({}, ["[SEG]"], "/some/folder").name == "lisa"
    assert "/some/folder does not tell its style" in caplog.text and "lisa" in caplog.text
    caplog.clear()
    recognise({"style": "gsva"}, [], "there")
    assert not caplog.text


def test_an_unknown_style_is_named():
    for name in ("lisaa", ["lisa"], 3):
        with pytest.raises(ConfigurationError, match=r"is not known; there are lisa, gsva"):
            get_style(name)
    with pytest.raises(ConfigurationError, match="style 'x'"):
        Lisa.from_pretrained(TINY / "lisa_hf", style="x")


def test_an_unknown_style_in_the_file_names_the_file(tmp_path):
    directory = Path(shutil.copytree(TINY / "lisa_hf", tmp_path / "lisa"))
    change_json(directory / "config.json", style="glamm")
    with pytest.raises(CheckpointError, match=r"config\.json: style 'glamm' is not known"):
        load(directory, vision_tower=TINY / "clip_tiny", sam=SAM)


def test_a_style_whose_tokens_lack_is_refused():
    with pytest.raises(CheckpointError, match=r"\[REJ\] must be one token.*style gsva"):
        load(TINY / "lisa_hf", vision_tower=TINY / "clip_tiny", sam=SAM, style="gsva")


def loaded(name):
    if name == "gsva":
        return load(GSVA / "gsva_hf", **GSVA_OPTIONS), GSVA_OPTIONS["vision_tower"]
    return load(TINY / "lisa_hf", vision_tower=TINY / "clip_tiny", sam=SAM), TINY / "clip_tiny"


@pytest.mark.parametrize("name", ["lisa", "gsva"])
def test_checkpoints_round_trip(name, tmp_path):
    first, tower = loaded(name)
    save_checkpoint(first, tmp_path / "saved")
    second = load(tmp_path / "saved", vision_tower=tower)
    assert second.network.config.style == name == json.loads((tmp_path / "saved" / "config.json").read_text())["style"]
    text = "Sure, a mug: [SEG] , b."
    assert second.tokenizer.encode(text) == first.tokenizer.encode(text)
    assert second.tokenizer.added == first.tokenizer.added
    for key, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[key]), key


def unmerged(tmp_path, change=None, **options):
    """The un-merged GSVA, its weights changed by `change`."""
    weights = torch.load(GSVA / "gsva_pytorch_model.bin", weights_only=True)
    weights = change(weights) if change else weights
    torch.save(weights, tmp_path / "gsva.bin")
    options = {"base": GSVA / "llava_base", "style": "gsva", **GSVA_OPTIONS, **options}
    return load_unmerged(tmp_path / "gsva.bin", **options)


def test_unmerged_weights_without_frozen_parts_take_them_from_the_base(tmp_path):
    """What trained alone may have been saved: the rest comes from LLaVA, Segment Anything and CLIP."""
    kept = ("lora_", "lm_head", "embed_tokens", "mm_projector", "text_hidden_fcs", "mask_decoder")
    whole = unmerged(tmp_path)
    part = unmerged(
        tmp_path, lambda w: {k: v for k, v in w.items() if any(name in k for name in kept)},
        sam_checkpoint=GSVA / "sam_tiny.pth",
    )  # fmt: skip
    differing = [
        key for key, value in whole.network.state_dict().items()
        if not torch.equal(value, part.network.state_dict()[key])
    ]  # fmt: skip
    assert not differing
    save_checkpoint(whole, tmp_path / "merged")
    again = load(tmp_path / "merged", vision_tower=GSVA / "clip_tiny")
    assert again.tokenizer.added == whole.tokenizer.added and again.network.config.style == "gsva"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {k: v for k, v in w.items() if "mm_projector" not in k}, r"lacks model\.mm_projector\."),
        (lambda w: {k: v for k, v in w.items() if "lora_B" not in k}, r"has no .*lora_B"),
        (lambda w: {k: v for k, v in w.items() if "lora_" not in k}, "holds no adapters"),
        (lambda w: {k.removeprefix("base_model.model."): v for k, v in w.items()}, "does not begin with base_model"),
        (lambda w: {k: v[:, :-1] if "lora_A" in k else v for k, v in w.items()}, "does not fit"),
        (lambda w: {k: v[:-1] if "embed_tokens" in k else v for k, v in w.items()}, "443 rows, the tokenizer .* 444"),
        (lambda w: {k: v for k, v in w.items() if "image_encoder" not in k}, "give its file with sam_checkpoint"),
        (lambda w: {**w, "base_model.model.model.other.weight": torch.zeros(1)}, "unexpected.*model.other.weight"),
    ],
)
def test_unmerged_weights_that_do_not_fit_are_refused(tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        unmerged(tmp_path, change)


def test_unmerged_weights_need_their_style_and_base(tmp_path):
    path = GSVA / "gsva_pytorch_model.bin"
    with pytest.raises(CheckpointError, match="is a file; give"):
        Lisa.from_pretrained(path)
    with pytest.raises(ConfigurationError, match="give style=NAME"):
        Lisa.from_pretrained(path, base=GSVA / "llava_base")
    with pytest.raises(ConfigurationError, match="lora_alpha is 0"):
        unmerged(tmp_path, lora_alpha=0)
    with pytest.raises(CheckpointError, match="443 tokens"):  # LISA adds one token less
        unmerged(tmp_path, style="lisa")


def test_the_rank_is_told_by_the_shapes():
    weights = {
        "q.weight": torch.eye(4),
        "q.lora_A.default.weight": torch.ones(2, 4),
        "q.lora_B.default.weight": torch.ones(4, 2),
    }
    merged = merge_adapters(weights, 16, "here")
    assert merged.keys() == {"q.weight"}
    torch.testing.assert_close(merged["q.weight"], torch.eye(4) + 2 * 16 / 2)


@given(st.lists(st.sampled_from(["the red mug", "a tree", "man in blue", "all boxes", "a"]), min_size=1, max_size=4),
       st.integers(0, 99))  # fmt: skip
def test_gsva_reads_its_phrases_back(phrases, seed):
    """Of its own answers, in all their forms, and of what evaluation expects."""
    style = get_style("gsva")
    turns = [Turn(text, (TruthTarget(text, np.ones((2, 2), bool)),), "") for text in phrases]
    ((turn,),) = style.render(turns, RenderOptions(), np.random.default_rng(seed))
    (prompt,) = style.query_prompts(phrases, style.mask_query)
    for answer in (turn.answer, prompt.answer):
        *items, _ = answer.split("[SEG]")
        assert [style.phrase(item) for item in items] == phrases


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Sure, they are Red box:", "Red box"),
        ("Sure, the segmentation of all boxes is ", "all boxes"),
        (", the segmentation of a tree is", "a tree"),
        ("The segmentation results are lamp", "lamp"),
        ("Sure,", ""),
        ("", ""),
        ("Sure, it is", ""),
    ],
)
def test_gsva_reads_published_answers(text, phrase):
    assert get_style("gsva").phrase(text) == phrase


def test_instances_are_listed_from_left_to_right():
    style = get_style("instances")
    left, right = np.zeros((4, 8), bool), np.zeros((4, 8), bool)
    left[:, 1], right[:, 6] = True, True
    turn = Turn("mugs", (TruthTarget("a mug", right), TruthTarget("a mug", left), TruthTarget("a mug", None)), "")
    answers = {}
    for seed in range(60):
        (((rendered),),) = style.render([turn], RenderOptions(), np.random.default_rng(seed))
        answers[rendered.answer] = rendered
        if len(rendered.targets) == 2:
            assert rendered.targets[0].mask is left and rendered.targets[1].mask is right
        else:  # asked as LISA asks, for one mask of all
            assert np.array_equal(rendered.targets[0].mask, left | right)
    assert "There are 2: [SEG] and [SEG]." in answers and "Sure, it is [SEG]." in answers
    crowd = Turn("grains", tuple(TruthTarget("a grain", left) for _ in range(21)), "")
    for seed in range(20):
        (((rendered),),) = style.render([crowd], RenderOptions(), np.random.default_rng(seed))
        assert rendered.answer.count("[SEG]") == 1


def test_instances_keep_explanations():
    style, mask = get_style("instances"), np.ones((2, 2), bool)
    turn = Turn("What holds coffee?", (TruthTarget("", mask),), "[SEG]. A mug does.", is_sentence=True)
    drawn = [style.render([turn], RenderOptions(0.2), np.random.default_rng(seed))[0][0] for seed in range(40)]
    assert {one.answer.endswith("A mug does.") for one in drawn} == {True, False}
    assert {len(one.targets) for one in drawn} == {0, 1}
