"""LLM-Seg40K as the official loaders read it: pictures, questions, masks, proposals and their overlaps."""

import hashlib
import json

import numpy as np
import pytest
from golden_variants import ROOT, turns_of

from lisa_ros.datasets.llmseg40k import LlmSeg40kDataset
from lisa_ros.datasets.proposal_files import StoredProposals, WithProposals, row_of_proposals, truth_proposals
from lisa_ros.errors import ConfigurationError, DatasetError
from lisa_ros.model.preprocess import sam_preprocess, sam_resized_size
from lisa_ros.model.proposal_head import weight_maps
from lisa_ros.model.styles.lisa import ANSWERS, SENTENCE_QUESTIONS
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from training.data.collate import Collator
from training.data.proposal_targets import proposal_targets

pytestmark = pytest.mark.unit
DATA = ROOT / "tests" / "golden" / "llmseg40k"
GOLDEN, ARRAYS = json.loads((DATA / "golden.json").read_text()), np.load(DATA / "golden.npz")
STORED = StoredProposals(*(DATA / "processed_data" / name / "masks.json" for name in ("coco2017", "ego_objects")))
TINY = next(one for one in (ROOT / "tests" / "golden").iterdir() if one.name == "llmseg_tiny")


def digest(values):
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def turns_by_question(split):
    data = WithProposals(LlmSeg40kDataset(DATA, split), STORED)
    found = {}
    for index in range(len(data)):
        sample = data[index]
        for turn in sample.turns:
            found[data.key(index), turn.question] = (sample, turn)
    return found


def asks(question, text, kind):
    """Whether a question is that text in one of LISA's sentences; the official validation strips all texts."""
    text = text if kind == "train" else text.strip()
    return any(sentence.format(text=text).strip() == question.strip() for sentence in SENTENCE_QUESTIONS)


@pytest.fixture(scope="module")
def lisa():
    from golden_variants import LlmSegVariant

    return LlmSegVariant(TINY).lisa


@pytest.mark.parametrize("kind", ["train", "val"])
def test_parity_of_items(lisa, kind):
    known = {**turns_by_question("validation"), **turns_by_question("train")}
    size, grid = GOLDEN["settings"]["image_size"], GOLDEN["settings"]["mask_grid"]
    clip = lisa.network.vision_tower.preprocess
    collator = Collator(
        lisa.tokenizer, lisa.network.config, visual_tokens=16, clip=clip, max_length=512, use_ignore=False
    )
    for number, item in enumerate(GOLDEN[kind]):
        (conversation,) = item["conversations"]
        ((question, answer),) = turns_of(conversation)
        name = item["image_path"].rsplit("/", 1)[-1]
        sample, turn = next(
            found for (picture, text), found in known.items() if picture == name and asks(question, text, kind)
        )
        assert answer in ANSWERS and turn.is_sentence
        if item["sampled_classes"]:
            assert item["sampled_classes"] == [turn.question]
        assert list(sam_resized_size(*sample.image.shape[:2], size)) == item["resize"]
        assert digest(sam_preprocess(sample.image, size)[0].numpy()) == item["images_sha256"]
        assert digest(clip(sample.image)[0].numpy()) == item["images_clip_sha256"]
        mask = turn.targets[0].mask
        np.testing.assert_array_equal(mask, ARRAYS[f"{kind}{number}/mask"][0])
        assert [1, *mask.shape] == item["masks_shape"] and mask.sum() == item["masks_sum"]
        assert list(sample.image.shape[:2]) == item["label_shape"]
        proposals = sample.proposals.largest(50)
        weights = weight_maps(proposals, grid)
        assert list(weights.shape) == item["segs_shape"] and digest(weights.numpy()) == item["segs_f32_sha256"]
        assert weights.sum((1, 2)).tolist() == pytest.approx(item["segs_sum"], rel=1e-5)
        np.testing.assert_array_equal(weights[:2], ARRAYS[f"{kind}{number}/segs_first2"])
        if item["ious"]:
            targets = proposal_targets(proposals, mask[None], grid)
            np.testing.assert_allclose(targets.iou, item["ious"], atol=1e-7)
            np.testing.assert_allclose(targets.iop, item["iops"], atol=1e-7)
        else:
            assert [proposals.height, proposals.width, len(proposals)] == item["segs_origin_shape"]
            assert [list(one.box) for one in proposals.items] == item["bbox"]
        tokens = collator.tokenize([(question, answer)], has_image=True)
        (ids,), (labels,) = (np.atleast_2d(item[key]).tolist() for key in ("input_ids", "labels"))
        wide = [16 if id == IMAGE_TOKEN_ID else 1 for id in ids]
        assert tokens.ids == np.repeat(ids, wide).tolist() and tokens.labels == np.repeat(labels, wide).tolist()


def test_parity_of_the_sets():
    """Every question is there once; the official validation's order is a shuffle of ours."""
    train, validation = turns_by_question("train"), turns_by_question("validation")
    assert len(train) == GOLDEN["train_len"]
    for order, known in (("val_validation_order", validation), ("val_train_order", train)):
        listed = sorted((path.rsplit("/", 1)[-1], text.strip()) for path, text in GOLDEN[order])
        assert listed == sorted((name, text.strip()) for name, text in known)


def test_masks_of_pictures_are_those_of_run_lengths(tmp_path):
    """Published files have either."""
    rows = json.loads((DATA / "LLMSeg-40K" / "train.json").read_text())
    for row in rows.values():
        for pair in row["qa_pairs"]:
            del pair["rle_seg"]
    for folder in ("coco", "ego_objects", "segmentations"):
        (tmp_path / folder).symlink_to(DATA / folder)
    (tmp_path / "LLMSeg-40K").mkdir()
    (tmp_path / "LLMSeg-40K" / "train.json").write_text(json.dumps(rows))
    ours, other = LlmSeg40kDataset(DATA, "train"), LlmSeg40kDataset(tmp_path, "train")
    for index in range(len(ours)):
        for one, two in zip(ours[index].turns, other[index].turns, strict=True):
            np.testing.assert_array_equal(one.targets[0].mask, two.targets[0].mask)


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="no split 'val'"):
        LlmSeg40kDataset(DATA, "val")
    with pytest.raises(DatasetError, match=r"no proposals of other\.jpg; .*training proposals"):
        STORED["other.jpg"]
    (tmp_path / "masks.json").write_text('[{"image": "a.jpg", "target_size": [2, 2], "masks": [{}]}]')
    with pytest.raises(DatasetError, match=r"masks\.json, proposals of a"):
        StoredProposals(tmp_path / "masks.json")["a"]


def test_truth_as_proposals_round_trips():
    sample = LlmSeg40kDataset(DATA, "train")[0]
    found = truth_proposals(sample)
    assert len(found) == len({turn.targets[0].mask.tobytes() for turn in sample.turns})
    assert found.masks.shape[1:] == sample.image.shape[:2]
    row = json.loads(json.dumps(row_of_proposals("a.jpg", found)))
    assert [m["area"] for m in row["masks"]] == [item.area for item in found.items]
