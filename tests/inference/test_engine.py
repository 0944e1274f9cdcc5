"""The engine: streams, conversations, shared prefixes, refusals."""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import lisa_ros
from lisa_ros import Lisa
from lisa_ros.inference.generation import Prefix, prefill
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from lisa_ros.types import Finished, MaskReady, TextDelta

pytestmark = pytest.mark.unit
TWO_MASKS = "What can make the woman stand higher? Please output segmentation mask and explain why."
NO_MASK = "Where is the dog? Please respond with segmentation mask."


def assert_same(first, second, tolerance=0.0):
    assert (first.answer, first.truncated) == (second.answer, second.truncated)
    assert [target.phrase for target in first.targets] == [target.phrase for target in second.targets]
    for a, b in zip(first.targets, second.targets, strict=True):
        np.testing.assert_allclose(a.logits, b.logits, rtol=0, atol=tolerance)


def test_import_is_light():
    code = "import sys, lisa_ros; assert not {'torch', 'rclpy', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="nothing"):
        _ = lisa_ros.nothing


def test_description(lisa):
    assert lisa.provenance == "lisa_hf fp32 llava_v1"
    assert lisa.device == torch.device("cpu")
    memory = lisa.memory()
    assert memory["weights"] == sum(t.nbytes for t in (*lisa.network.parameters(), *lisa.network.buffers()))
    assert memory["weights"] < memory["allocated"] <= memory["peak"] * 1.1


def test_result(lisa, frame, images):
    result = lisa.chat(frame, TWO_MASKS, max_new_tokens=12)
    assert result.query == TWO_MASKS
    assert len(result.targets) == 2 and result.truncated
    assert 0 < result.seg_probability < 1
    for target in result.targets:
        assert target.kind == "segmented"
        assert target.mask.shape == target.logits.shape == images[1].shape[:2]
        assert target.mask.dtype == bool and target.logits.dtype == np.float32
        assert 0.5 < target.mean_probability < 1
    assert set(result.seconds) == {"encode", "prefill", "generate", "decode_masks", "total"}


def test_no_mask(lisa, other_frame):
    result = lisa.chat(other_frame, NO_MASK, max_new_tokens=12)
    assert result.targets == () and np.isnan(result.seg_probability) and result.union_mask is None
    assert "decode_masks" not in result.seconds


def test_stream_is_the_chat(lisa, frame):
    events = list(lisa.stream(frame, TWO_MASKS, max_new_tokens=12))
    result = events[-1].result
    assert_same(result, lisa.chat(frame, TWO_MASKS, max_new_tokens=12))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == result.answer
    masks = [event for event in events if isinstance(event, MaskReady)]
    assert [(mask.index, mask.target) for mask in masks] == list(enumerate(result.targets))
    assert isinstance(events[-1], Finished) and sum(isinstance(event, Finished) for event in events) == 1


def test_mask_leaves_before_the_next_token(lisa, frame, monkeypatch):
    """When MaskReady is out, the language model has not been asked for the token behind [SEG]."""
    from lisa_ros.inference.compiled_step import TokenLoop

    fed, original = [], TokenLoop.feed
    monkeypatch.setattr(TokenLoop, "feed", lambda loop, id: (fed.append(id), original(loop, id))[1])
    for event in lisa.stream(frame, TWO_MASKS, max_new_tokens=12):
        if isinstance(event, MaskReady):
            assert lisa.tokenizer.seg_id not in fed
            break


def test_frame_is_never_changed(lisa, images):
    frame = lisa.encode(images[1])
    before = [(keys.clone(), values.clone()) for keys, values in frame.prefix.layers]
    first = lisa.chat(frame, TWO_MASKS, max_new_tokens=12)
    lisa.chat(frame, NO_MASK, max_new_tokens=12)
    lisa.segment(frame, "the dog")
    lisa.conversation(frame).ask(NO_MASK, max_new_tokens=3)
    assert_same(lisa.chat(frame, TWO_MASKS, max_new_tokens=12), first)
    for (keys, values), (old_keys, old_values) in zip(frame.prefix.layers, before, strict=True):
        assert torch.equal(keys, old_keys) and torch.equal(values, old_values)


def test_prefix_is_used(lisa, frame):
    """The image and what stands before it are not computed again."""
    visual = frame.visual.shape[1]
    ids = lisa.model.prompt_ids(frame, [(lisa.model.first_question("the dog"), None)])
    shared = frame.prefix.shared_with(ids)
    assert shared == len(frame.prefix.ids) > visual + 50
    _, with_prefix = prefill(lisa.network, ids, frame.visual, frame.prefix)
    _, without = prefill(lisa.network, ids, frame.visual)
    torch.testing.assert_close(with_prefix, without, atol=1e-4, rtol=0)


def test_checkpoint_without_image_tokens(load, images, tmp_path):
    """The image then ends the shared prefix, and a newline follows it."""
    directory = shutil.copytree(load.args[0], tmp_path / "checkpoint")
    (directory / "added_tokens.json").write_text('{"[SEG]": 440}')
    config = directory / "config.json"
    config.write_text(config.read_text().replace('"mm_use_im_start_end": true', '"mm_use_im_start_end": false'))
    lisa = Lisa.from_pretrained(directory, **load.keywords)
    frame = lisa.encode(images[0])
    ids = lisa.model.prompt_ids(frame, [(lisa.model.first_question("the dog"), None)])
    assert frame.prefix.shared_with(ids) == len(frame.prefix.ids)
    assert frame.prefix.ids[-1] == IMAGE_TOKEN_ID
    assert lisa.segment(frame, "the dog").targets


def test_shared_prefix_leaves_a_token_to_feed():
    assert Prefix((1, 2, 3), ()).shared_with([1, 2, 3]) == 2
    assert Prefix((1, 2, 3), ()).shared_with([1, 5, 3]) == 1
    assert Prefix((1, 2), ()).shared_with([1, 2, 3, 4]) == 2


def test_conversation_knows_what_was_said(lisa, frame):
    talk = lisa.conversation(frame)
    first = talk.ask(TWO_MASKS, max_new_tokens=6)
    second = talk.ask(NO_MASK, max_new_tokens=12)
    assert_same(first, lisa.chat(frame, TWO_MASKS, max_new_tokens=6))
    said = lisa.tokenizer.decode([238, 440, 25, 361, 440, 289]).strip()  # the reference answer, cut at six tokens
    # Without control characters, which a history from outside may not hold.
    again = lisa.conversation(frame)
    again._turns.append((lisa.model.first_question(TWO_MASKS), said))
    assert_same(second, again.ask(NO_MASK, max_new_tokens=12), tolerance=1e-4)
    assert second.answer != lisa.chat(frame, NO_MASK, max_new_tokens=12).answer


def test_conversation_with_history(lisa, frame):
    """A given history and a lived one are the same prompt."""
    talk = lisa.conversation(frame, [("Is there a dog?", "Yes, it is [SEG].")])
    result = talk.ask("Where is it?", max_new_tokens=8)
    prompt = lisa.model.template.render(
        [(lisa.model.first_question("Is there a dog?"), "Yes, it is [SEG]."), ("Where is it?", None)]
    )
    ids = lisa.tokenizer.expand_image(lisa.tokenizer.encode_prompt(prompt), frame.visual.shape[1])
    assert tuple(ids) == talk._prefix.ids[: len(ids)]
    assert result.answer


def test_picture_is_in_the_prompt_once(lisa, frame, monkeypatch):
    """An answer that spells out the placeholder does not put it there again."""
    import lisa_ros.inference.conversation as conversation

    spoken = iter([*lisa.tokenizer.encode("the <image> shows it", bos=False), lisa.tokenizer.eos_id])
    monkeypatch.setattr(conversation, "greedy_token", lambda *_: (next(spoken), torch.zeros(443)))
    talk = lisa.conversation(frame)
    assert talk.ask("What?").answer == "the <image> shows it"
    ids = lisa.model.prompt_ids(frame, [*talk._turns, ("Why?", None)])
    assert ids.count(IMAGE_TOKEN_ID) == frame.visual.shape[1]


def test_conversation_reuses_what_it_said(lisa, frame):
    talk = lisa.conversation(frame)
    talk.ask(TWO_MASKS, max_new_tokens=4)
    ids = lisa.model.prompt_ids(frame, [*talk._turns, ("Why?", None)])
    assert talk._prefix.shared_with(ids) > len(frame.prefix.ids) + 20


def test_mask_only(lisa, frame, images):
    for text in ("the dog", "Where is the dog?"):
        result = lisa.segment(frame, text)
        assert result.answer == "" and len(result.targets) == 1
        assert result.targets[0].phrase == text
        assert result.targets[0].mask.shape == images[1].shape[:2]
        assert 0 < result.seg_probability < 1
        assert set(result.seconds) == {"encode", "prefill", "decode_masks", "total"}
    phrase, sentence = (lisa.segment(frame, "the dog", sentence=choice) for choice in (False, True))
    assert_same(phrase, lisa.segment(frame, "the dog"))
    assert phrase.seg_probability != sentence.seg_probability


def test_mask_only_refusal(lisa, frame, monkeypatch):
    score = lisa.segment(frame, "the dog").seg_probability
    for threshold, count in ((score * 1.01, 0), (score * 0.99, 1)):
        monkeypatch.setattr(lisa.network, "config", replace(lisa.network.config, seg_threshold=threshold))
        result = lisa.segment(frame, "the dog")
        assert len(result.targets) == count
        assert result.seg_probability == score


def test_answer_that_is_nothing_but_masks_ends(lisa, frame, monkeypatch):
    import lisa_ros.inference.conversation as conversation

    seg = lisa.tokenizer.seg_id
    monkeypatch.setattr(conversation, "greedy_token", lambda *_: (seg, torch.zeros(443)))
    result = lisa.chat(frame, "x")
    assert len(result.targets) == conversation.MAX_TARGETS and result.truncated


def test_answer_ends_with_the_context(lisa, frame):
    """No position behind the last one that the model was built for."""
    text = "12345678 " * 93
    prompt = lisa.model.prompt_ids(frame, [(lisa.model.first_question(text.strip()), None)])
    talk = lisa.conversation(frame)
    result = talk.ask(text)
    assert result.truncated
    assert 0 < len(talk._prefix.ids) - len(prompt) < 1024 - len(prompt)
