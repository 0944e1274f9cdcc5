"""SESAME's public files: what its own loaders make of them, phrase by phrase and mask by mask; damaged entries."""

import hashlib
import json
import pickle
import re
import shutil

import numpy as np
import pytest
from golden_variants import ROOT

from lisa_ros.datasets.coco_masks import polygon_mask
from lisa_ros.datasets.dialogues import llava_instruct_150k
from lisa_ros.datasets.files import read_json, read_plain_pickle
from lisa_ros.datasets.reasonseg import ReasonSegDataset
from lisa_ros.datasets.refer import OTHER_SPLITS, ReferDataset
from lisa_ros.errors import DatasetError
from lisa_ros.model.preprocess import ClipPreprocessor, sam_preprocess, sam_resized_size
from training.data.sources import TRAINING as SETS

pytestmark = pytest.mark.unit

TRAINING = {
    "refer_seg": ("refclef", "refcoco", "refcoco+", "refcocog"),
    "neg_refer_seg": ("R-refcocog", "R-refcoco", "R-refcoco+"),
    "correct_refer_seg": ("fprefcocog", "fprefcoco", "fprefcoco+"),
}


@pytest.fixture(scope="session")
def root(golden):
    """Data folder with a miniature of each of SESAME's formats."""
    places = golden / "sesame_datasets", golden / "datasets" / "sesame", ROOT / "tests" / "golden" / "sesame_datasets"
    return next(place for place in places if (place / "golden.json").is_file())


@pytest.fixture(scope="session")
def official(root):
    return json.loads((root / "golden.json").read_text())


@pytest.fixture
def copy_of_root(root, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(root, copy, copy_function=shutil.copyfile)
    return copy


def refer(root, name, split):
    return ReferDataset(root, name, split, OTHER_SPLITS.get(name))


def sample_of(data, root, path):
    """The sample of a picture, None if it is not in the data set."""
    paths = [data.files(index)[0].relative_to(root).as_posix() for index in range(len(data))]
    return data[paths.index(path)] if path in paths else None


def items(official, prefix):
    found = [item for item in official["items"] if item["key"].startswith(prefix) and "error" not in item]
    assert found
    return found


def asked(conversation):
    """The words of a question, and the whole answer without its number; neutral templates are "SQ5 {words}?"."""
    question, answer = re.search(r"USER: <image>\n(.*?) ASSISTANT:(.*)$", conversation, re.DOTALL).groups()
    return re.sub(r"^[SL]Q\d+ ", "", question), answer.strip().removesuffix("</s>")


def expected_question(turn, lower):
    """In a short template the words stand before a question mark."""
    text = turn.question.lower() if lower else turn.question
    return text if turn.is_sentence else f"{text}?"


def check_answer(answer, turn):
    (target,) = turn.targets
    kind, _, words = answer.partition(" ")
    if target.mask is not None:
        assert re.fullmatch(r"(SA|LA)\d+", kind)
        assert words.replace(f"{turn.question} ", "", 1) == "[SEG]."
    elif kind.startswith("CA"):
        assert words == f"{turn.question} -> {target.alternative.phrase}"
    elif kind.startswith("NA"):
        assert words in ("", turn.question) and target.alternative is None
    else:
        assert answer == turn.answer


def check_picture(sample, item, size):
    pixels = sam_preprocess(sample.image, size).numpy()
    clip = ClipPreprocessor(56, 56)(sample.image).numpy()
    for array, name in ((pixels, "sha256_image"), (clip, "sha256_image_clip")):
        assert hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() == item[name], item["key"]
    resized, original = item["sam_mask_shape"]
    assert list(sam_resized_size(*sample.image.shape[:2], size)) == resized
    if any(item["exists"]):
        assert list(sample.image.shape[:2]) == original


def check_masks(turns, item, drawn=None):
    """drawn: the original's sum of an annotation's polygons, by its id; it is 2 where they overlap."""
    assert [turn.targets[0].mask is not None for turn in turns] == item["exists"], item["key"]
    shape = item["masks_shape"][1:]
    if item["key"].startswith("train"):  # the original has masks of what is there alone
        turns = [turn for turn in turns if turn.targets[0].mask is not None]
    assert len(turns) == len(item["masks_sha256"]) == item["masks_shape"][0]
    for turn, digest in zip(turns, item["masks_sha256"], strict=True):
        (target,) = turn.targets
        original = np.zeros(shape, np.uint8) if target.mask is None else target.mask.astype(np.uint8)
        if drawn and target.mask is not None:
            original = drawn(target.instance_id, *shape)
            np.testing.assert_array_equal(original > 0, target.mask)
        assert hashlib.sha256(np.ascontiguousarray(original).tobytes()).hexdigest() == digest, item["key"]


def polygons_of(path):
    """id -> the original's mask: its polygons added up."""
    segmentations = {row["id"]: row["segmentation"] for row in read_json(path)["annotations"]}

    def drawn(number, height, width):
        masks = [polygon_mask(part, height, width) for part in segmentations[number]]
        return np.sum(masks, axis=0, dtype=np.uint8) if masks else np.zeros((height, width), np.uint8)

    return drawn


def chosen(item, turns):
    """The turns that the original code's `random.sample` took; all in their order where it took none."""
    numbers = next((draw[1] for draw in item["draws"] if draw[0] == "sample"), range(len(turns)))
    return [turns[number] for number in numbers]


def check_refer(item, sample, turns, data, official):
    asked_and_answered = list(map(asked, item["conversations"]))
    assert len(asked_and_answered) == len(turns)
    for turn, (question, answer) in zip(turns, asked_and_answered, strict=True):
        # The original leaves blanks of the file before the question mark.
        assert re.sub(r"\s+\?$", "?", question) == expected_question(turn, lower=True), item["key"]
        if answer:
            check_answer(answer, turn)
    check_masks(turns, item, polygons_of(data.instances_path) if data.source.split("/")[0] != "refclef" else None)
    check_picture(sample, item, official["image_size"])


@pytest.mark.parametrize("stage", TRAINING)
def test_parity_of_the_training_draws(root, official, stage):
    for item in items(official, f"train/{stage}/"):
        opened = [refer(root, name, "train") for name in TRAINING[stage]]
        data, sample = next(
            (data, sample) for data in opened if (sample := sample_of(data, root, item["image_path"])) is not None
        )
        check_refer(item, sample, chosen(item, sample.turns), data, official)


@pytest.mark.parametrize("name", ["fprefcoco", "fprefcocog", "refcoco", "R-refcoco"])
def test_parity_of_every_row_that_is_evaluated(root, official, name):
    data = refer(root, name, "val")
    rows = items(official, f"test/{name}/")
    assert len(rows) == len(data)
    for item in rows:
        sample = data[item["index"]]
        check_refer(item, sample, list(sample.turns), data, official)


def test_parity_of_the_validation_in_training(root, official):
    for item in items(official, "trainval/"):
        data = refer(root, "refcoco", "val")
        sample = sample_of(data, root, item["image_path"])
        check_refer(item, sample, chosen(item, sample.turns), data, official)


def test_parity_of_reasoning_draws(root, official):
    data, modes = ReasonSegDataset(root, "train", false_premises=True), set()
    for item in items(official, "train/reason_seg/"):
        sample = sample_of(data, root, item["image_path"])
        (mode,) = next(draw[1] for draw in item["draws"] if draw[0] == "choices")
        modes.add(mode)
        there = mode == "True_Premise"
        turns = chosen(item, [turn for turn in sample.turns if (turn.targets[0].mask is not None) == there])
        for turn, (question, answer) in zip(turns, map(asked, item["conversations"]), strict=True):
            assert question == expected_question(turn, lower=there and not turn.is_sentence), item["key"]
            check_answer(answer, turn)
        check_masks(turns, item)
        check_picture(sample, item, official["image_size"])
    assert len(modes) == 2


def test_parity_of_reasoning_rows_that_are_evaluated(root, official):
    data = ReasonSegDataset(root, "val", false_premises=True)
    rows = items(official, "test/ReasonSeg/")
    assert len(rows) == len(data)
    for item in rows:
        sample = data[item["index"]]
        turns = [
            next(turn for turn in sample.turns if (turn.targets[0].mask is not None) == exists)
            for exists in (True, False)
        ]
        for turn, (question, _) in zip(turns, map(asked, item["conversations"]), strict=True):
            lower = turn.targets[0].mask is not None and not turn.is_sentence
            assert question == expected_question(turn, lower), item["key"]
        check_masks(turns, item)
        check_picture(sample, item, official["image_size"])


def test_parity_of_dialogues(root, official):
    data = llava_instruct_150k(root)  # its pictures are in coco/train2017
    for item in items(official, "train/vqa/"):
        sample = sample_of(data, root, item["image_path"])
        text = item["conversations"][0].split("USER: <image>\n")[1]
        assert text == "USER: ".join(f"{turn.question} ASSISTANT: {turn.answer}</s>" for turn in sample.turns)
        assert item["exists"] == [False] and item["masks_shape"][0] == 0
        check_picture(sample, item, official["image_size"])


def test_what_is_there_in_place_of_a_false_premise(root):
    sample = refer(root, "fprefcoco", "train")[0]
    wrong = [turn for turn in sample.turns if turn.kind == "false_premise"]
    right = {turn.question: turn.targets[0] for turn in sample.turns if turn.kind == "referring"}
    alternative = wrong[0].targets[0].alternative
    assert (wrong[0].question, wrong[0].answer, alternative.phrase) == ("man with a hat", "", "man on the left")
    np.testing.assert_array_equal(alternative.mask, right["man on the left"].mask)
    assert all(turn.targets[0].alternative is None for turn in refer(root, "R-refcoco", "train")[0].turns)


def test_plain_reasonseg_is_as_it_was(root):
    plain, more = (ReasonSegDataset(root, "train", false_premises=choice)[0] for choice in (False, True))
    assert [turn.question for turn in plain.turns] == [turn.question for turn in more.turns][: len(plain.turns)]
    assert [turn.kind for turn in more.turns[len(plain.turns) :]] == ["false_premise"] * 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_false_premise": "no"}, "must be true or false, not 'no'"),
        ({"is_false_premise": None}, "must be true or false"),
        ({"gt_sent": 7}, "gt_sent must be text"),
        ({"gt_sent": "a \ud83d"}, "half a character"),
        ({"sent": None}, "not as it should be"),
    ],
)
def test_a_damaged_sentence_costs_itself_alone(copy_of_root, change, reason):
    path = copy_of_root / "refer_seg" / "fprefcoco" / "refs(berkeley_exclude_unified).p"
    rows = read_plain_pickle(path)
    rows[0]["sentences"][1] |= change
    path.write_bytes(pickle.dumps(rows))
    turns = refer(copy_of_root, "fprefcoco", "train")[0].turns
    with pytest.raises(DatasetError, match=rf"phrase 2 of COCO_train2014_0+1: .*{reason}") as raised:
        turns[1]
    assert str(path) in str(raised.value)
    assert [turns[number].kind for number in (0, 2, 3)] == ["referring", "referring", "false_premise"]


@pytest.mark.parametrize("sentence", [None, 3, [], {}])
def test_what_is_no_sentence_costs_itself_alone(copy_of_root, sentence):
    path = copy_of_root / "refer_seg" / "R-refcoco" / "refs(unc_exclude_unified).p"
    rows = read_plain_pickle(path)
    rows[0]["sentences"][1] = sentence
    path.write_bytes(pickle.dumps(rows))
    turns = refer(copy_of_root, "R-refcoco", "train")[0].turns
    with pytest.raises(DatasetError, match="phrase 2 of"):
        turns[1]
    assert turns[0].question == "man on the left"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["a question", "yes", "No."], "must be true or false"),
        (["a question", True], "not as it should be"),
        ([3, True, "No."], "not as it should be"),
        (["a question", True, " "], "must not be blank"),
        (None, "not as it should be"),
    ],
)
def test_a_damaged_false_premise_costs_itself_alone(copy_of_root, row, reason):
    path = copy_of_root / "reason_seg" / "ReasonSeg" / "train" / "t0.json"
    content = json.loads(path.read_text())
    content["false_premise_QA"][0] = row
    path.write_text(json.dumps(content))
    turns = ReasonSegDataset(copy_of_root, "train", false_premises=True)[0].turns
    with pytest.raises(DatasetError, match=rf"false_premise_QA 0.*{reason}"):
        turns[2]
    assert turns[0].targets[0].mask.any() and turns[3].answer == "No sword can be seen."


def test_false_premises_of_another_form_are_named(copy_of_root):
    path = copy_of_root / "reason_seg" / "ReasonSeg" / "train" / "t0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"false_premise_QA": {"a": 1}}))
    with pytest.raises(DatasetError, match=r"t0\.json, false_premise_QA: it must be a list, not dict"):
        ReasonSegDataset(copy_of_root, "train", false_premises=True)[0]
    assert len(ReasonSegDataset(copy_of_root, "train")[0].turns) == 2


def test_a_digest_changes_with_the_premise(copy_of_root):
    path = copy_of_root / "refer_seg" / "fprefcoco" / "refs(berkeley_exclude_unified).p"
    before = refer(copy_of_root, "fprefcoco", "train").digest(0)
    rows = read_plain_pickle(path)
    rows[0]["sentences"][1]["gt_sent"] = "the dog"
    path.write_bytes(pickle.dumps(rows))
    assert refer(copy_of_root, "fprefcoco", "train").digest(0) != before


@pytest.mark.parametrize("name", ["cocostuff", "paco_lvis"])
def test_parity_of_classes_that_are_there_or_not(official, name):
    """On the miniature of LISA: what SESAME asks for, denies and offers is in the picture, or not, by these readers."""
    root = ROOT / "tests" / "golden" / "datasets"
    data, modes = SETS[name](root), set()
    for item in items(official, f"train/sem_seg_{name}_"):
        sample = sample_of(data, root, item["image_path"].removeprefix("../../datasets/"))
        shown = {}
        for turn in sample.turns:
            for wording in (turn.question, *turn.alternatives):
                shown.setdefault(wording, []).append(turn.targets[0].mask)
        modes.add(item["forced_mode"])
        digests = iter(item["masks_sha256"])
        for exists, (question, answer) in zip(item["exists"], map(asked, item["conversations"]), strict=True):
            phrase = question.removesuffix("?")
            if exists:
                digest = next(digests)
                masks = shown[phrase]
                assert digest in {hashlib.sha256(mask.astype(np.uint8).tobytes()).hexdigest() for mask in masks}
            else:
                assert phrase not in shown
                assert "->" not in answer or answer.split("-> ")[1] in shown
        check_picture(sample, item, official["image_size"])
    assert len(modes) == 3
