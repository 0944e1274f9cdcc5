"""The pages that are made from the code have all of it."""

import re

import command_page
import interface_page
import page_markers
import parameter_page
import pytest
import python_page
from pages import ROOT

from lisa_ros import cli, graph
from lisa_ros.nodes.perception.parameters import parameter_definitions

pytestmark = pytest.mark.unit

ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def test_every_parameter_and_launch_argument_has_its_row():
    assert ROW.findall(parameter_page.parameters()) == [one.name for one in parameter_definitions()]
    assert ROW.findall(parameter_page.arguments()) == [one.name for one in graph.ARGUMENTS]
    one = next(one for one in parameter_definitions() if one.name == "precision")
    assert one.about in parameter_page.parameters()


def test_the_node_s_page_gets_its_tables():
    text = (ROOT / "docs/node.md").read_text(encoding="utf-8")
    shown = page_markers.with_tables(text)
    assert text.count("<!-- table:") == 2 and "<!-- table:" not in shown
    assert len(ROW.findall(shown)) > len(ROW.findall(text)) + 50


@pytest.mark.parametrize("path", [path for suffix in interface_page.KINDS for path in ROOT.glob(f"*/*{suffix}")],
                         ids=lambda path: path.name)  # fmt: skip
def test_every_field_of_an_interface_has_its_row(path):
    part = interface_page.page().split(f"\n## {path.stem}\n")[1].split("\n## ")[0]
    lines = (line.split("#")[0].split("=")[0].split() for line in path.read_text(encoding="utf-8").splitlines())
    assert ROW.findall(part) == [words[1] for words in lines if len(words) == 2]


def test_every_command_and_option_is_there():
    page = command_page.page()
    for name in cli.COMMANDS:
        assert f"## lisa-ros {name}\n" in page
    for title in ("### lisa-ros eval bag", "### lisa-ros scannet convert", "### python -m training merge"):
        assert title in page, title
    assert "`--vision-tower P`" in page and "`--accept NAME`" in page and "`--precision {fp32,bf16," in page


def test_names_of_the_python_api_exist():
    for names in python_page.SECTIONS.values():
        for name in names:
            module, _, member = name.rpartition(".")
            path = ROOT / (module.replace(".", "/") + ".py")
            assert re.search(rf"^(class|def) {member}\b", path.read_text(encoding="utf-8"), re.MULTILINE), name


def test_what_is_not_run_is_told_to_the_reader():
    shown = page_markers.readable_markers("<!-- not run: needs a robot -->\n```bash\nmake\n```\n<!-- run: here -->\n")
    assert "No test runs this: needs a robot." in shown and "<!--" not in shown


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    named = set(re.findall(r": (\S+\.md)$", navigation, re.MULTILINE))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    made = {"index.md", "reference/messages.md", "reference/parameters.md", "reference/commands.md"}
    assert named == there | made | {"reference/python.md"}


def test_lists_and_blocks_are_read_alike_here_and_on_the_site():
    """Python's Markdown wants a blank line before a list, and four spaces before what belongs to an item."""
    for path in (ROOT / "docs").rglob("*.md"):
        text = re.sub(r"^( *)```.*?^\1```$", r"\1```", path.read_text(encoding="utf-8"), flags=re.M | re.S)
        lines = text.splitlines()
        for number, line in enumerate(lines[1:], 1):
            before = lines[number - 1]
            assert not re.match(r"^ {1,3}(```|\|)", line), f"{path.name}: {line}"
            if re.match(r"^([-*]|\d+\.) ", line) and before.strip():
                assert re.match(r"^( |([-*]|\d+\.) )", before), f"{path.name}: no blank line before {line!r}"
