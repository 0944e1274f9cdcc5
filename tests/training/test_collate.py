"""Batches: equal to the official collate function's, and sound where that one is not."""

import numpy as np
import pytest
import torch
from golden_training import TINY

from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from training.data.collate import TEXT_ONLY, Collator
from training.data.items import TrainingItem
from training.errors import BadItemError

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def checkpoint():
    return TINY.checkpoint()


def item(*conversations, masks=0, image=True, ignore=None, key="k"):
    picture = np.zeros((12, 16, 3), np.uint8) if image else None
    masks = np.zeros((masks, 12, 16), bool)
    return TrainingItem(image=picture, conversations=conversations, masks=masks, ignore=ignore, source="test", key=key)


@pytest.mark.parametrize("conv_type", ["llava_v1", "llava_llama_2"])
def test_ids_and_labels_equal_the_official_ones(conv_type):
    checkpoint = TINY.checkpoint(conv_type=conv_type)
    collator = TINY.collator(checkpoint, visual_tokens=1, max_length=100_000)  # one token: the ids before expansion
    arrays = np.load(TINY.directory / "golden" / "collate.npz")
    cases = [case for case in TINY.json("collate") if case["key"].startswith(f"{conv_type}/")]
    compared = 0
    for case in cases:
        row = 0
        for group in case["turns"]:
            for talk in group:
                turns = [(q.removeprefix("<image>\n"), a) for q, a in zip(talk[::2], talk[1::2], strict=True)]
                mine = collator.tokenize(turns, "<image>" in talk[0])
                expected = arrays[f"{case['key']}/input_ids"][row]
                if case["key"].endswith("too_long"):  # cut silently there
                    mine.ids[:] = mine.ids[: len(expected)]
                    mine.labels[:] = mine.labels[: len(expected)]
                length = int(arrays[f"{case['key']}/attention_masks"][row].sum())
                assert mine.ids == expected[:length].tolist(), case["key"]
                assert mine.labels == arrays[f"{case['key']}/labels"][row][:length].tolist(), case["key"]
                row += 1
                compared += 1
        assert row == len(arrays[f"{case['key']}/input_ids"])
    assert compared == 15


def test_batch_layout(checkpoint):
    collator = TINY.collator(checkpoint)
    batch = collator(
        [
            item((("a?", "It is [SEG] and [SEG]."),), (("b?", "Sure, [SEG]."),), masks=3),
            item((("who?", "A robot."), ("why?", "So.")), image=False),
            item((("c?", "[SEG]."),), masks=1),
        ]
    )
    seg = checkpoint.tokenizer.seg_id
    assert batch.image_of_row.tolist() == [0, 0, TEXT_ONLY, 1]
    assert [len(masks) for masks in batch.masks] == [3, 1]
    assert batch.sam_pixels.shape[0] == batch.clip_pixels.shape[0] == 2
    assert (batch.ids == IMAGE_TOKEN_ID).sum(1).tolist() == [16, 16, 0, 16]
    rows, positions = batch.states.unbind(1)
    assert rows.tolist() == [0, 0, 1, 3]
    assert (batch.ids[rows, positions + 1] == seg).all() and (batch.labels[rows, positions + 1] == seg).all()
    assert (batch.labels[~batch.attention_mask] == -100).all()
    kept = batch.labels != -100
    assert (batch.labels[kept] == batch.ids[kept]).all()
    text = checkpoint.tokenizer.decode(batch.labels[2][batch.labels[2] != -100])
    assert "A robot" in text and "So" in text and "who" not in text and "why" not in text


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (item((("a?", "[SEG]."),), masks=0), "1 \\[SEG\\] for 0 masks"),
        (item((("a?", "No."),), masks=1), "0 \\[SEG\\] for 1 masks"),
        (item((("a " * 300, "No."),)), "max_length is 200"),
        (item((("a?", "No. " * 300 + "[SEG]."),), masks=1), "max_length is 200"),
        (item(), "no answer to learn"),
        (item((("a?", "[SEG]."),), masks=1, image=False), "masks without an image"),
    ],
)
def test_bad_items_are_named(checkpoint, bad, words):
    with pytest.raises(BadItemError, match=f"test k: .*{words}"):
        TINY.collator(checkpoint, max_length=200)([bad])


def test_a_long_dialogue_loses_its_end(checkpoint):
    dialogue = (("a?", "No."), ("b?", "Yes. " * 300))
    whole = TINY.collator(checkpoint).tokenize(dialogue, True)
    row = TINY.collator(checkpoint, max_length=200).tokenize(dialogue, True)
    assert len(row.ids) == len(row.labels) == 200
    assert (row.ids, row.labels) == (whole.ids[:200], whole.labels[:200])


def test_ignored_pixels_leave_the_loss_only_where_wanted(checkpoint):
    ignore = np.zeros((12, 16), bool)
    ignore[:3] = True
    one = item((("a?", "[SEG]."),), masks=1, ignore=ignore)
    assert TINY.collator(checkpoint)([one]).valid == (None,)
    (valid,) = TINY.collator(checkpoint, use_ignore=True)([one]).valid
    assert torch.equal(valid, torch.from_numpy(~ignore))


def test_words_of_the_template_inside_a_question_do_no_harm(checkpoint):
    collator: Collator = TINY.collator(checkpoint)
    row = collator.tokenize([("Did the ASSISTANT: say [/INST] this?", "Yes.")], True)
    learnt = [label for label in row.labels if label != -100]
    assert checkpoint.tokenizer.decode(learnt).strip().startswith("Yes.")
