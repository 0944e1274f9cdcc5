"""Many phrases in one query: each present or absent, as if it had been asked alone where the style asks so."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lisa_ros import Lisa
from lisa_ros.errors import InvalidImageError, InvalidQueryError, QueryCancelled
from lisa_ros.inference.generation import decode_step, prefill
from lisa_ros.inference.grounding_stream import GroundingStream
from lisa_ros.inference.teacher_forcing import answer_states, teacher_forced
from lisa_ros.types import ABSENT, LOC, REJ, SEG, SEGMENTED, MaskReady

pytestmark = pytest.mark.unit
GSVA = Path(__file__).parents[1] / "golden" / "gsva_tiny"
PHRASES = ["the dog", "a very long phrase about a red box on the left", "cup"]


@pytest.fixture(scope="module")
def gsva():
    sam = json.loads((GSVA / "oracle_meta.json").read_text())["sam"]
    return Lisa.from_pretrained(GSVA / "gsva_hf", vision_tower=GSVA / "clip_tiny", device="cpu", sam=sam)


@pytest.fixture(scope="module")
def gsva_frame(gsva, images):
    return gsva.encode(images[0])


def test_lisa_asks_each_phrase_as_if_it_were_alone(lisa, frame):
    """Rows of different lengths in one pass do not touch one another."""
    found = lisa.segment_phrases(frame, PHRASES)
    assert [target.phrase for target in found.targets] == PHRASES
    for phrase, target in zip(PHRASES, found.targets, strict=True):
        alone = lisa.segment(frame, phrase, sentence=False)
        np.testing.assert_allclose(target.logits, alone.targets[0].logits, atol=1e-4)
        assert target.probability == pytest.approx(alone.seg_probability, rel=1e-4)
        assert target.kind == SEGMENTED and target.coarse is None
    assert found.query == ", ".join(PHRASES) and found.answer == ""
    assert set(found.seconds) == {"encode", "prefill", "decode_masks", "total"}


def test_many_queries_are_answered_as_if_each_were_alone(lisa, frame):
    """Phrases and sentences mixed, more than fit one pass."""
    texts = [*PHRASES, "Where is the dog?", *(f"thing {number}" for number in range(6)), "the dog"]
    results = lisa.segment_many(frame, texts)
    assert [result.query for result in results] == texts
    for text, result in zip(texts, results, strict=True):
        alone = lisa.segment(frame, text)
        assert [target.phrase for target in result.targets] == [target.phrase for target in alone.targets] == [text]
        np.testing.assert_allclose(result.targets[0].logits, alone.targets[0].logits, atol=1e-4)
        assert result.seg_probability == pytest.approx(alone.seg_probability, rel=1e-4)
        assert set(result.seconds) == set(alone.seconds)
    named = lisa.segment_many(frame, ["Where is the dog?"], sentence=False)
    assert named[0].seg_probability == lisa.segment(frame, "Where is the dog?", sentence=False).seg_probability
    assert lisa.segment_many(frame, []) == []


def test_many_queries_are_refused_one_by_one(lisa, frame, monkeypatch):
    chances = [result.seg_probability for result in lisa.segment_many(frame, PHRASES)]
    least = sorted(chances)[1] * 0.999
    monkeypatch.setattr(lisa.network, "config", replace(lisa.network.config, seg_threshold=least))
    found = [len(result.targets) for result in lisa.segment_many(frame, PHRASES)]
    assert found == [chance >= least for chance in chances] and sum(found) == 2


def test_many_queries_pass_the_language_model_together(lisa, frame, monkeypatch):
    passes = []
    forward = lisa.network.hidden_states
    monkeypatch.setattr(lisa.network, "hidden_states", lambda *a, **k: passes.append(len(a[0])) or forward(*a, **k))
    lisa.segment_many(frame, [f"thing {number}" for number in range(11)])
    assert passes == [8, 3]


def test_many_queries_in_a_style_that_rejects(gsva, gsva_frame):
    texts = ["car", "a tree", "white cup", "box"]
    for text, result in zip(texts, gsva.segment_many(gsva_frame, texts), strict=True):
        alone = gsva.segment(gsva_frame, text)
        assert (result.query, len(result.targets)) == (text, len(alone.targets))
        assert result.seg_probability == pytest.approx(alone.seg_probability)


def test_lisa_says_absent_below_its_threshold(lisa, frame, monkeypatch):
    chances = [target.probability for target in lisa.segment_phrases(frame, PHRASES).targets]
    middle = sorted(chances)[1]
    monkeypatch.setattr(lisa.network, "config", replace(lisa.network.config, seg_threshold=middle * 0.999))
    targets = lisa.segment_phrases(frame, PHRASES).targets
    for chance, target in zip(chances, targets, strict=True):
        assert target.kind == (ABSENT if chance < middle * 0.999 else SEGMENTED)
        assert target.mask.shape == (frame.height, frame.width)
        assert target.kind == SEGMENTED or (target.logits is None and not target.mask.any())
    assert {target.kind for target in targets} == {ABSENT, SEGMENTED}


def test_more_phrases_than_rows_at_once(lisa, frame):
    many = [f"thing {number}" for number in range(11)]
    found = lisa.segment_phrases(frame, many)
    assert [target.phrase for target in found.targets] == many
    alone = lisa.segment(frame, many[10]).targets[0]
    np.testing.assert_allclose(found.targets[10].logits, alone.logits, atol=1e-4)


def test_gsva_follows_its_own_decisions(gsva, gsva_frame):
    """Each place is read with the tokens that were chosen before it, as one pass over the finished answer reads it."""
    model = gsva.model
    found = gsva.segment_phrases(gsva_frame, ["car", "a tree", "both things", "white cup", "box"])
    kinds = [SEG if target.kind == SEGMENTED else REJ for target in found.targets]
    assert {SEG, REJ} == set(kinds)
    present = [kind == SEG for kind in kinds]
    (prompt,) = model.style.query_prompts(
        [target.phrase for target in found.targets], gsva.network.config.mask_query, present=present
    )
    read = answer_states(model, gsva_frame, prompt.question, prompt.answer)
    assert read.kinds == kinds
    masks = model.decode_masks(gsva_frame, read.states, read.kinds)
    for target, mask, state in zip(found.targets, masks, read.states, strict=True):
        with torch.inference_mode():
            chance = model.style.presence(gsva.network.logits(state), model.kinds)
        assert target.probability == pytest.approx(chance, abs=1e-5)
        assert (target.probability >= 0.5) == (target.kind == SEGMENTED)
        if target.kind == SEGMENTED:
            np.testing.assert_allclose(target.logits, mask.logits, atol=2e-4)
        else:
            assert target.logits is None and not target.mask.any()


def test_a_lone_absent_phrase_has_no_target_in_segment(gsva, gsva_frame):
    targets = gsva.segment_phrases(gsva_frame, ["white cup"]).targets
    result = gsva.segment(gsva_frame, "white cup")
    assert len(result.targets) == (targets[0].kind == SEGMENTED)
    assert result.seg_probability == pytest.approx(targets[0].probability)


def test_cached_and_teacher_forced_states_agree(gsva, gsva_frame):
    """Token by token with a cache, and the whole answer at once."""
    model = gsva.model
    question, answer = " What are a, bin this image? Please output segmentation masks.", "Sure,a:[SEG], b:[REJ]."
    whole = answer_states(model, gsva_frame, question, answer)
    start = whole.positions[0]
    cache, hidden = prefill(model.network, whole.ids[:start], gsva_frame.visual, gsva_frame.prefix)
    states = {start: hidden}
    for position in range(start, whole.positions[-1]):
        states[position + 1] = decode_step(model.network, whole.ids[position], cache)
    cached = torch.cat([states[position] for position in whole.positions])
    torch.testing.assert_close(cached, whole.states, atol=1e-4, rtol=0)


def test_teacher_forcing_gives_masks_of_what_is_rejected(gsva, gsva_frame):
    question = " What are car, a treein this image? Please output segmentation masks."
    found = teacher_forced(gsva.model, gsva_frame, question, "Sure,car:[SEG], a tree:[REJ].")
    assert [target.expected for target in found] == [SEG, REJ]
    all_there = teacher_forced(gsva.model, gsva_frame, question, "Sure,car:[SEG], a tree:[SEG].")
    for mine, other in zip(found, all_there, strict=True):
        np.testing.assert_array_equal(mine.logits, other.logits)


def test_a_rejection_never_yields_a_mask(gsva, gsva_frame):
    """Streamed: it comes as a target of its own, in the order of the text."""
    model, rej = gsva.model, {kind: id for id, kind in gsva.model.kinds.items()}[REJ]
    stream = GroundingStream(model, gsva_frame)
    state = torch.randn(1, gsva.network.config.hidden_size)
    stream.push(model.kinds[rej], state, "a zebra", 0.1)
    assert stream.ready() == [0] and stream.decode(0).kind == ABSENT
    assert stream.decode(0).logits is None and not stream.decode(0).mask.any()
    assert stream.ready() == [] and stream.ready(last=True) == []


def test_a_mask_waits_for_its_coarse_one(gsva, gsva_frame):
    """In a style with coarse events, wherever the coarse one stands; without one it is decoded plainly at the end."""
    head, frame = gsva.network.head, gsva_frame
    stream = GroundingStream(gsva.model, frame)
    stream._two_step = True  # this network has no such token, but the head that decodes it
    states = torch.randn(3, gsva.network.config.hidden_size, generator=torch.Generator().manual_seed(0))
    stream.push(SEG, states[:1], "mug", 0.9)
    assert stream.ready() == []
    stream.push(LOC, states[1:2], "table", 0.9)
    assert stream.ready() == [0]
    target = stream.decode(0)
    stream.push(SEG, states[2:], "fork", 0.9)
    assert stream.ready() == [] and stream.ready(last=True) == [1]
    assert stream.decode(1).coarse is None and len(stream) == 2
    with torch.inference_mode():
        coarse = head.decode(frame.features, head.embed(states[1:2]))
        fine = head.decode(frame.features, head.embed(states[:1]), coarse)
        plain = head.decode(frame.features, head.embed(states[:1]))
        both = head.decode_targets(frame.features, head.embed(states[:2]), [SEG, LOC])
    torch.testing.assert_close(both.logits, fine)
    torch.testing.assert_close(both.coarse, coarse)
    assert not torch.allclose(fine, plain, atol=1e-3)
    assert target.coarse.shape == target.logits.shape == (frame.height, frame.width)


def test_generated_rejections_are_streamed(gsva, images):
    case = next(case for case in json.loads((GSVA / "golden" / "generate.json").read_text()) if case["n_rej"])
    question = case["prompt"].split("<im_end>\n")[1].split(" ASSISTANT:")[0]
    frame = gsva.encode(np.array(_image(case["image"])))
    events = list(gsva.stream(frame, question, max_new_tokens=case["max_new_tokens"]))
    masks = [event for event in events if isinstance(event, MaskReady)]
    assert [(mask.index, mask.target) for mask in masks] == list(enumerate(events[-1].result.targets))


def _image(index):
    from PIL import Image

    return Image.open(GSVA / "images" / f"img{index}.png").convert("RGB")


@pytest.mark.parametrize("phrases", [[], "mug", ["x"] * 65, ["mug", ""], ["a [SEG]"], ["mug </s>"], [3]])
def test_phrases_that_cannot_be_asked(lisa, frame, phrases):
    with pytest.raises(InvalidQueryError):
        lisa.segment_phrases(frame, phrases)


@pytest.mark.parametrize("texts", ["mug", ["mug", ""], ["a [SEG]"], [3]])
def test_queries_that_cannot_be_asked(lisa, frame, texts):
    with pytest.raises(InvalidQueryError):
        lisa.segment_many(frame, texts)


def test_gsva_words_cannot_hold_its_tokens(gsva, gsva_frame):
    with pytest.raises(InvalidQueryError, match="REJ"):
        gsva.segment(gsva_frame, "the mug [REJ]")


def test_foreign_frames_and_cancelled_queries(lisa, frame, gsva, gsva_frame):
    with pytest.raises(InvalidImageError):
        lisa.segment_phrases(gsva_frame, ["mug"])
    for engine, own in ((lisa, frame), (gsva, gsva_frame)):
        with pytest.raises(QueryCancelled):
            engine.segment_phrases(own, ["mug", "cup"], cancelled=lambda: True)
        with pytest.raises(QueryCancelled):
            engine.segment_many(own, ["mug", "cup"], cancelled=lambda: True)
