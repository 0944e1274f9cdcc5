"""LLaVA's dialogues: the conversations of the original loader; rows that are none."""

import json

import pytest

from lisa_ros.datasets.dialogues import DialogueDataset, llava_instruct_150k, llava_v1_5_mix665k
from lisa_ros.errors import DatasetError, InvalidImageError
from lisa_ros.model.prompts import get_template

pytestmark = pytest.mark.unit
HUMAN, GPT = {"from": "human", "value": "<image>\nHi?"}, {"from": "gpt", "value": "Hello."}


def test_equals_the_original_loader(root, official):
    data = llava_instruct_150k(root)
    numbers = {f"coco/train2017/{row['image']}": number for number, row in enumerate(data.rows)}
    rows = [row for row in official[0]["items"] if row["dataset"] == "vqa"]
    assert {row["conv_type"] for row in rows} == {"llava_v1", "llava_llama_2"}
    for row in rows:
        sample = data[numbers[row["image_path"]]]
        turns = [(turn.question, turn.answer) for turn in sample.turns]
        turns[0] = (f"<image>\n{turns[0][0]}", turns[0][1])
        assert [get_template(row["conv_type"]).render(turns)] == row["conversations"]
        assert sample.image.shape[:2] == official[1][f"{row['key']}/label"].shape


def test_rows_without_picture_are_text_alone(root, tmp_path):
    (tmp_path / "llava_dataset").mkdir()
    rows = [
        {"id": "text", "conversations": [HUMAN | {"value": " Why? "}, GPT]},
        {"id": "picture", "image": "coco/train2017/000000000000.jpg", "conversations": [HUMAN, GPT, HUMAN, GPT]},
    ]
    (tmp_path / "llava_dataset" / "llava_v1_5_mix665k.json").write_text(json.dumps(rows))
    (tmp_path / "coco").symlink_to((root / "coco").resolve())
    data = llava_v1_5_mix665k(tmp_path)
    assert [data.key(0), data.key(1)] == ["text", "picture"]
    assert data[0].image is None and data[0].turns[0].question == " Why? "
    assert data[1].image.shape == (48, 60, 3) and [turn.question for turn in data[1].turns] == ["Hi?", "Hi?"]


@pytest.mark.parametrize("form", [{"image": "{}"}, {"images": ["{}"]}, {"image": ["{}"]}, {"images": "{}"},
                                  {"image": "{}", "images": ["{}"]}, {"image": "", "images": ["{}"]}])  # fmt: skip
def test_a_picture_is_found_in_whatever_form_it_is_named(root, tmp_path, form):
    name = "coco/train2017/000000000000.jpg"
    row = json.loads(json.dumps(form).replace("{}", name)) | {"conversations": [HUMAN, GPT]}
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    data = DialogueDataset(tmp_path / "rows.json", root, "dialogues")
    assert data.files(0) == (root / name,) and data[0].image.shape == (48, 60, 3)
    assert [turn.question for turn in data[0].turns] == ["Hi?"]


TWO = {"from": "human", "value": "<image>\n<image>\nWhat differs?"}
PLAIN = {"from": "human", "value": "Hi?"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"conversations": [HUMAN, GPT]}, "hold 1 marks <image>, and it names 0 pictures"),
        ({"image": None, "conversations": [HUMAN, GPT]}, "hold 1 marks <image>, and it names 0 pictures"),
        ({"images": [], "conversations": [HUMAN, GPT]}, "hold 1 marks <image>, and it names 0 pictures"),
        ({"image": "a.jpg", "conversations": [PLAIN, GPT]}, "hold 0 marks <image>, and it names 1 pictures"),
        ({"image": "a.jpg", "conversations": [TWO, GPT]}, "hold 2 marks <image>, and it names 1 pictures"),
        ({"image": "a.jpg", "conversations": [PLAIN, GPT, TWO, GPT]}, "hold 2 marks"),
        ({"images": ["a.jpg", "b.jpg"], "conversations": [TWO, GPT]}, "2 pictures, a.jpg, b.jpg; LISA sees one"),
        ({"images": ["a.jpg", "b.jpg"], "conversations": [HUMAN, GPT]}, "2 pictures, a.jpg, b.jpg; LISA sees one"),
        ({"image": "a.jpg", "images": ["b.jpg"], "conversations": [HUMAN, GPT]}, r"image names \['a.jpg'\], images"),
        ({"image": {"bytes": "x"}, "conversations": [HUMAN, GPT]}, "image must be a file name, or a list of them"),
        ({"images": [["a.jpg"]], "conversations": [HUMAN, GPT]}, "images must be a file name, or a list of them"),
        ({"image_file": "a.JPG", "conversations": [PLAIN, GPT]}, "names a picture as 'image_file', which is not read"),
        ({"img": ["a.png"], "conversations": [PLAIN, GPT]}, "names a picture as 'img', which is not read"),
        ({"video": "a.mp4", "conversations": [HUMAN, GPT]}, "about a video; LISA sees pictures alone"),
        ({"conversations": [HUMAN]}, "take turns, not human"),
        ({"conversations": [GPT]}, "take turns"),
        ({"conversations": [HUMAN, GPT, GPT, HUMAN]}, "human, gpt, gpt, human"),
        ({"conversations": [{"from": "human"}, GPT]}, "value"),
        ({"conversations": [HUMAN | {"value": 3}, GPT]}, "replace"),
        ({}, "conversations"),
        ("row", "not as it should be"),
        ({"conversations": [HUMAN, GPT | {"value": "a \ud83d"}]}, "half a character"),
    ],
)
def test_a_row_that_is_no_dialogue_is_named(tmp_path, row, reason):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row]))
    data = DialogueDataset(path, tmp_path, "dialogues")
    assert data.key(0) == "0"
    with pytest.raises(DatasetError, match=reason) as raised:
        data[0]
    assert f"{path}, row 0" in str(raised.value)


def test_the_word_image_in_an_answer_is_no_mark(tmp_path):
    row = {"conversations": [PLAIN, GPT | {"value": "Type docker run <image>."}]}
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    sample = DialogueDataset(tmp_path / "rows.json", tmp_path, "dialogues")[0]
    assert sample.image is None and "<image>" not in sample.turns[0].answer  # where the prompt would put a picture


@pytest.mark.parametrize("content", ["[]", "{}", "[", "\udcff"])
def test_a_file_without_dialogues_is_named(tmp_path, content):
    path = tmp_path / "rows.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DatasetError, match=r"rows\.json"):
        DialogueDataset(path, tmp_path, "dialogues")


def test_a_missing_picture_is_named(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"image": "a.jpg", "conversations": [HUMAN, GPT]}]))
    with pytest.raises(InvalidImageError, match=r"a\.jpg"):
        DialogueDataset(path, tmp_path, "dialogues")[0]
