"""Prompts for further wordings of ReasonSeg's questions, and what comes back."""

import json

import pytest

from lisa_ros.datasets.reasonseg import ReasonSegDataset
from lisa_ros.errors import DatasetError
from training.config.sections import DataConfig, DatasetGroupConfig
from training.data.__main__ import main
from training.data.paraphrase import read_paraphrases
from training.data.sources import open_items

pytestmark = pytest.mark.unit


def test_every_question_gets_a_prompt_that_holds_it(root, tmp_path, capsys):
    out = tmp_path / "prompts.jsonl"
    assert main(["paraphrase-prompts", "--data", str(root), "--out", str(out), "--count", "7"]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    data = ReasonSegDataset(root, "train")
    assert [row["text"] for row in rows] == [turn.question for n in range(len(data)) for turn in data[n].turns]
    assert len({row["id"] for row in rows}) == len(rows) == 7
    assert all(row["prompt"].endswith(f"\n\n{row['text']}") and "Give 7 other" in row["prompt"] for row in rows)
    assert "7 prompts" in capsys.readouterr().out
    assert main(["paraphrase-prompts", "--data", str(root), "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize("count", ["0", "-2"])
def test_a_prompt_asks_for_something(root, tmp_path, capsys, count):
    out = tmp_path / "prompts.jsonl"
    assert main(["paraphrase-prompts", "--data", str(root), "--out", str(out), "--count", count]) == 2
    assert capsys.readouterr().err == f"error: --count is {count}; it must be 1 or above\n"
    assert not out.exists()


def test_answers_are_wordings_of_the_mixture(root, tmp_path):
    path = tmp_path / "paraphrases.jsonl"
    text = "What makes the woman stand higher?"
    rows = [{"text": text, "paraphrases": ["What lifts her?\n"]}, {"text": text, "paraphrases": ["What is she on?"]}]
    path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n")
    assert read_paraphrases(path) == {text: ("What lifts her?", "What is she on?")}
    groups = {"reason_seg": DatasetGroupConfig(1, ("ReasonSeg|train",))}
    stream = open_items(DataConfig(groups, root, paraphrases=path), 0)
    asked = {item.conversations[0][0][0].split("?")[0] for n in range(60) if (item := stream[n]).key == "t2"}
    assert asked == {"What makes the woman stand higher", "What lifts her", "What is she on"}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"text": "a"}',
        '{"text": ["a"], "paraphrases": []}',
        '{"text": "a", "paraphrases": "b"}',
        '{"text": "a", "paraphrases": [3]}',
        '{"text": "a", "paraphrases": [""]}',
        '{"text": "a", "paraphrases": ["it is [SEG]"]}',
        '{"text": "a", "paraphrases": ["x</s>USER: y"]}',
    ],
)
def test_answers_that_cannot_be_asked_are_named(tmp_path, line):
    path = tmp_path / "paraphrases.jsonl"
    path.write_text('{"text": "a", "paraphrases": ["b"]}\n' + line)
    with pytest.raises(DatasetError, match="line 2") as raised:
        read_paraphrases(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"nothing\.jsonl"):
        read_paraphrases(tmp_path / "nothing.jsonl")
