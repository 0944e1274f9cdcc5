"""docs/troubleshooting.md quotes what the code says."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = [line for block in re.findall(r"^```text\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
VALUE = "…"


@cache
def spoken() -> str:
    """All texts of the code, with a mark in the place of each value."""
    texts = []
    for folder in ("lisa_ros", "training"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = (str(one.value) if isinstance(one, ast.Constant) else VALUE for one in node.values)
                    texts.append("".join(parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    script = re.sub(r"\$\{?\w+\}?|\$\(.*?\)", VALUE, (ROOT / "scripts/setup.sh").read_text(encoding="utf-8"))
    return "\n".join([*texts, re.sub(r'"? \\\n\s*"', " ", script)])


def pattern(message: str) -> re.Pattern:
    """Where the page has a value, the code may have words of its own and other values."""
    return re.compile(".{0,80}".join(map(re.escape, re.split(f"\\s*{VALUE}\\s*", message))))


def test_there_are_messages_for_every_status_that_needs_help():
    assert len(QUOTED) > 30
    titles = re.findall(r"^## (.*)$", PAGE, re.M)
    for status in ("NO_IMAGE", "NO_DEPTH", "NO_TRANSFORM", "REJECTED", "MODEL_ERROR"):
        assert any(status in title for title in titles), status


@pytest.mark.parametrize("message", QUOTED)
def test_the_code_says_what_the_page_quotes(message):
    assert len(re.sub(f"[{VALUE}\\W]", "", message)) >= 10, "too little to be found by"
    assert pattern(message).search(spoken()), message
