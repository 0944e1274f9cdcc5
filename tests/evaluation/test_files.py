"""summary.json: what made it, and when its figures came about."""

import json

import pytest

from lisa_ros.evaluation import files
from lisa_ros.evaluation.files import write_summary
from lisa_ros.resources import version

pytestmark = pytest.mark.unit


def written(path):
    return json.loads(path.read_text())


def test_version_commit_and_date_stand_beside_the_figures(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_summary(path, {"giou": 0.5, "by_kind": {0.5: 1}})
    content = written(path)
    assert content["version"] == version() and content["giou"] == 0.5
    assert content["commit"] is None or len(content["commit"].removesuffix("-dirty")) == 40
    assert content["date"].startswith("20") and content["date"].endswith("+00:00")
    later = {"version": "9", "commit": "f" * 40, "date": "2100-01-01T00:00:00+00:00"}
    monkeypatch.setattr(files, "provenance", lambda: dict(later))
    write_summary(path, {"giou": 0.5, "by_kind": {0.5: 1}})
    assert written(path) == content  # the same figures: nothing new came about
    write_summary(path, {"giou": 0.6})
    assert written(path) == later | {"giou": 0.6}


@pytest.mark.parametrize("old", ["", "[1]", '{"giou": 0.5}'])
def test_an_older_or_damaged_file_is_replaced(tmp_path, old):
    path = tmp_path / "summary.json"
    path.write_text(old)
    write_summary(path, {"giou": 0.5})
    assert {"version", "commit", "date", "giou"} == written(path).keys()
