"""docs/client.md says what the client's code says."""

import inspect
import re
from pathlib import Path

import pytest

from lisa_ros import errors
from lisa_ros.client.goals import make_goal

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text()


def rows(title: str) -> list[str]:
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)`", section, re.MULTILINE)


def test_every_option_is_on_the_page():
    options = [name for name in inspect.signature(make_goal).parameters if name != "query"]
    assert rows("Options") == ["timeout", "on_feedback", *options]


def test_every_exception_is_on_the_page():
    kinds = {kind.__name__ for kind in vars(errors).values() if inspect.isclass(kind) and kind.__base__ is not object}
    named = {name for name in kinds if issubclass(getattr(errors, name), errors.NoResultError)}
    assert set(rows("Results")) == named - {"NoResultError"}


def test_every_example_is_on_the_page_and_installed():
    names = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert names == set(re.findall(r"python3 examples/(\w+\.py)", PAGE))
    assert re.search(
        r"^install\(DIRECTORY launch config examples ", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE
    )
    assert '"examples"' in (ROOT / "setup.py").read_text()
