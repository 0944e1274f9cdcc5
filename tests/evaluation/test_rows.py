"""Rows survive a killed run, join those of several processes, and never mix two evaluations."""

import dataclasses
import errno
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.errors import ConfigurationError, DatasetError
from lisa_ros.evaluation.benchmarks.rows import EvaluationIdentity, QueryRow, RowFile, read_all, read_log
from lisa_ros.evaluation.files import write_json

pytestmark = pytest.mark.unit

FORCED = EvaluationIdentity("reasonseg", "reason_seg/val", 200, "lisa fp32 llava_v1", "0123", "teacher_forced")


def row(key="v0", turn=0, inter=3, union=4, **more):
    return QueryRow(key, turn, "what cuts?", "reasoning", True, inter, union, union > 0, inter > 0, **more)


def written(path, *images, identity=FORCED):
    with RowFile(path, identity) as file:
        for rows in images:
            file.append(rows)
    return path


def test_rows_come_back(tmp_path):
    images = [row(), row(turn=1, answer='"Ü"\n\r\u2028[SEG]', phrases=("ä", "b"))], [row("v1")]
    path = written(tmp_path / "rows.jsonl", *images)
    log = read_all(tmp_path)
    assert (log.identity, log.rows) == (FORCED, [*images[0], *images[1]])
    lines = [json.loads(line) for line in path.read_bytes().split(b"\n")[1:3]]
    assert lines[0]["iou"] == pytest.approx(0.75, abs=1e-5)


@settings(max_examples=60)
@given(cut=st.integers(0, 2000))
def test_a_killed_run_loses_no_finished_image_and_goes_on(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    images = {"v0": [row("v0"), row("v0", 1)], "v1": [row("v1")], "v2": [row("v2"), row("v2", 1)]}
    sizes = {key: written(path, rows).stat().st_size for key, rows in images.items()}
    whole = path.read_bytes()
    kept = max(len(whole) - cut, 0)
    path.write_bytes(whole[:kept])
    with RowFile(path, FORCED) as again:
        assert again.done == {key for key, size in sizes.items() if size <= kept}
        for key in images.keys() - again.done:
            again.append(images[key])
    assert sorted(read_log(path).rows, key=lambda r: (r.key, r.turn)) == [
        each for rows in images.values() for each in rows
    ]


def test_a_sample_that_can_be_read_at_last_is_bad_no_more(tmp_path):
    path = tmp_path / "rows.jsonl"
    with RowFile(path, FORCED) as file:
        file.append_bad("v0", "damaged")
        file.append_bad("v1", "damaged")
    with RowFile(path, FORCED) as file:
        assert not file.done
        file.append([row("v1")])
    log = read_all(tmp_path)
    assert log.bad == {"v0": "damaged"} and log.rows == [row("v1")]


def test_bad_samples_of_all_processes_are_told(tmp_path):
    for number in range(2):
        with RowFile(tmp_path / f"rows-0000{number}-of-00002.jsonl", FORCED) as file:
            file.append_bad(f"v{number}", "damaged")
    assert read_all(tmp_path).bad == {"v0": "damaged", "v1": "damaged"}


@pytest.mark.parametrize(
    "other",
    [{"mode": "generative"}, {"weights": "4567"}, {"source": "reason_seg/test"}, {"samples": 100}],
)
def test_other_evaluations_are_not_mixed_in(tmp_path, other):
    written(tmp_path / "rows-00000-of-00002.jsonl", [row()])
    different = dataclasses.replace(FORCED, **other)
    with pytest.raises(ConfigurationError, match=f"{next(iter(other))}.*another --out"):
        RowFile(tmp_path / "rows-00000-of-00002.jsonl", different)
    written(tmp_path / "rows-00001-of-00002.jsonl", [row("v1")], identity=different)
    with pytest.raises(ConfigurationError, match="another evaluation"):
        read_all(tmp_path)


def test_two_processes_do_not_write_one_file(tmp_path):
    with RowFile(tmp_path / "rows.jsonl", FORCED), pytest.raises(ConfigurationError, match="another process"):
        RowFile(tmp_path / "rows.jsonl", FORCED)
    written(tmp_path / "rows.jsonl", [row()])


def test_a_query_counts_once_however_often_it_was_scored(tmp_path):
    for name in ("rows-00000-of-00002.jsonl", "rows-00001-of-00002.jsonl"):
        written(tmp_path / name, [row()])
    assert read_all(tmp_path).rows == [row()]


def test_an_image_that_was_asked_again_has_its_later_rows(tmp_path):
    """Also where it has fewer questions now, and where another process asked it again."""
    first = [row("v0", digest="a"), row("v0", 1, digest="a")], [row("v1", digest="b")]
    path = written(tmp_path / "rows.jsonl", *first, [row("v0", inter=1, digest="c")])
    assert read_log(path).rows == read_all(tmp_path).rows == [row("v0", inter=1, digest="c"), row("v1", digest="b")]
    written(tmp_path / "rows-00000-of-00002.jsonl", [row("v1", inter=2, digest="d")])
    now = {"v0": "c", "v1": "d"}
    log = read_all(tmp_path, now.get)
    assert log.rows == [row("v0", inter=1, digest="c"), row("v1", inter=2, digest="d")] and log.changed == ()
    log = read_all(tmp_path, {"v0": "e", "v1": "b"}.get)
    assert log.rows == [row("v1", digest="b")] and log.changed == ("v0",)


@pytest.mark.parametrize("text", ["{}\n", "no json\n", "no json", '{"benchmark": 1}\n', "\xff\n"])
def test_files_that_are_no_rows_are_named_and_kept(tmp_path, text):
    path = tmp_path / "rows.jsonl"
    path.write_text(text, encoding="latin-1")
    for attempt in (lambda: read_all(tmp_path), lambda: RowFile(path, FORCED)):
        with pytest.raises(DatasetError, match=r"rows\.jsonl"):
            attempt()
    assert path.read_text(encoding="latin-1") == text


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="run the evaluation first"):
        read_all(tmp_path)


@pytest.mark.parametrize("damage", [lambda line: line[:20], lambda line: b"[1]", lambda line: b"\xff" + line])
def test_damage_in_the_middle_is_named(tmp_path, damage):
    path = written(tmp_path / "rows.jsonl", [row()], [row("v1")])
    lines = path.read_bytes().split(b"\n")
    lines[1] = damage(lines[1])
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(DatasetError, match="line 2"):
        read_log(path)


def test_no_answer_is_no_refusal():
    """An absent target that the model could not be asked about is not rightly refused."""
    silent = row(inter=0, union=0)
    assert silent.iou == 1
    assert dataclasses.replace(silent, error="the query is empty").iou == 0


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with RowFile(tmp_path / "rows.jsonl", FORCED) as file:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ConfigurationError, match=r"rows\.jsonl.*[Ss]pace"):
            file.append([row()])


def test_files_are_whole_or_not_there(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    with pytest.raises(ConfigurationError, match="cannot write"):
        write_json(tmp_path / "no" / "a.json", {})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1} and len(list(tmp_path.iterdir())) == 1


def test_half_a_character_and_a_name_that_is_no_text_come_back(tmp_path):
    halved = row("v\udcff", answer="the \ud83d dog")
    path = written(tmp_path / "rows.jsonl", [halved])
    path.read_bytes().decode()
    assert read_all(tmp_path).rows == [halved]
    write_json(tmp_path / "summary.json", {"bad_samples": {halved.key: halved.answer}})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"bad_samples": {halved.key: halved.answer}}
