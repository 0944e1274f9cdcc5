"""docs/node.md and docs/architecture.md say what the code says: topics, statuses, names, places."""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "node.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
ROW = re.compile(r"^\| `([^`]+)`", re.MULTILINE)


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.ros
def test_every_topic_and_status_is_on_the_page():
    from lisa_ros.nodes.perception.queries.query_statistics import STATUS_NAMES
    from lisa_ros.nodes.perception.results.result_publishers import _TOPICS

    topics = {name.removeprefix("/lisa/") for name in ROW.findall(section("Published topics"))}
    assert topics == {*_TOPICS, "answer", "result", "detections", "planning_scene", "/diagnostics"}
    assert ROW.findall(section("Status of a result")) == [name.upper() for name in STATUS_NAMES.values()]


def test_every_path_of_the_architecture_page_is_there():
    paths = re.findall(r"`((?:lisa_ros|tests|training|config|launch|action|srv|msg)/[\w./]+)`", ARCHITECTURE)
    assert len(paths) > 30 and not [path for path in paths if not (ROOT / path).exists()]


def test_every_class_of_the_architecture_page_is_defined():
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)*)`", ARCHITECTURE))
    named |= set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+", ARCHITECTURE.split("```mermaid")[1].split("```")[0]))
    defined = {path.stem for folder in ("msg", "srv", "action") for path in (ROOT / folder).iterdir()}
    for path in (ROOT / "lisa_ros").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        defined |= {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    assert len(named) > 20 and not named - defined
