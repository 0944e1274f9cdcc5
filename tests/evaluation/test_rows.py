"""Rows survive a killed run, join those of several processes, and never mix two evaluations."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lisa_ros.errors import ConfigurationError, DatasetError
from lisa_ros.evaluation.rows import Identity, Row, RowFile, read_all, read_rows

pytestmark = pytest.mark.unit

FORCED = Identity("reasonseg", "reason_seg/val", "lisa fp32 llava_v1", "teacher_forced")


def row(key="v0", turn=0, inter=3, union=4, **more):
    return Row(key, turn, "what cuts?", "reasoning", True, inter, union, union > 0, inter > 0, **more)


def test_rows_come_back(tmp_path):
    file = RowFile(tmp_path / "rows.jsonl", FORCED)
    file.append([row(), row(turn=1, answer='"Ü"\n[SEG]')])
    file.append([row("v1")])
    assert read_all(tmp_path) == (FORCED, [row(), row(turn=1, answer='"Ü"\n[SEG]'), row("v1")])


@given(cut=st.integers(1, 600))
def test_a_killed_run_loses_no_finished_image_and_goes_on(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file = RowFile(path, FORCED)
    whole = [row("v0"), row("v0", 1), row("v1"), row("v2"), row("v2", 1)]
    sizes = [0]
    for key in ("v0", "v1", "v2"):
        file.append([each for each in whole if each.key == key])
        sizes.append(path.stat().st_size)
    path.write_bytes(path.read_bytes()[: max(path.stat().st_size - cut, 130)])  # the first line is there at least
    kept = path.stat().st_size
    again = RowFile(path, FORCED)
    assert again.done >= {key for key, size in zip(("v0", "v1", "v2"), sizes[1:], strict=True) if size <= kept}
    for key in ("v0", "v1", "v2"):
        if key not in again.done:
            again.append([each for each in whole if each.key == key])
    assert read_rows(path) == (FORCED, sorted(read_rows(path)[1], key=lambda r: (r.key, r.turn)))
    assert sorted(read_rows(path)[1], key=lambda r: (r.key, r.turn)) == whole


def test_other_evaluations_are_not_mixed_in(tmp_path):
    RowFile(tmp_path / "rows-00000-of-00002.jsonl", FORCED).append([row()])
    generative = dataclasses.replace(FORCED, mode="generative")
    with pytest.raises(ConfigurationError, match="another --out"):
        RowFile(tmp_path / "rows-00000-of-00002.jsonl", generative)
    RowFile(tmp_path / "rows-00001-of-00002.jsonl", generative).append([row("v1")])
    with pytest.raises(ConfigurationError, match="cannot be joined"):
        read_all(tmp_path)


def test_a_query_counts_once_however_often_it_was_scored(tmp_path):
    for name in ("rows-00000-of-00002.jsonl", "rows-00001-of-00002.jsonl"):
        RowFile(tmp_path / name, FORCED).append([row()])
    assert read_all(tmp_path)[1] == [row()]


@pytest.mark.parametrize("text", ["", "{}\n", "no json\n", '{"benchmark": 1}\n'])
def test_files_that_are_no_rows_are_named(tmp_path, text):
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(DatasetError, match=r"rows\.jsonl"):
        read_all(tmp_path)


def test_damage_in_the_middle_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    file = RowFile(path, FORCED)
    file.append([row()])
    file.append([row("v1")])
    lines = path.read_text().splitlines()
    lines[1] = lines[1][:20]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DatasetError, match="line 2"):
        read_rows(path)
