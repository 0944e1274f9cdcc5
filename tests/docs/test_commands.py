"""Every command on a page is run by a test or marked as not run, and the programs understand its words.

Above a block of commands stands `<!-- run: here -->` (this file runs it), `<!-- run: tests/... -->` (that one does,
perhaps with smaller numbers), or `<!-- not run: REASON -->`.
"""

import re

import pytest
from pages import ROOT, blocks
from PIL import Image

from lisa_ros import cli, graph, launcher
from lisa_ros.simulator import generate_scene

pytestmark = pytest.mark.unit

BLOCKS = blocks()


def commands(*program: str) -> list:
    """The arguments of every command of a program, as parameters of a test."""
    return [
        pytest.param(words, id=f"{block} {' '.join(words)[:50]}") for block in BLOCKS for words in block.of(*program)
    ]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_says_what_runs_it(block):
    kind, _, place = block.marker.partition(": ")
    assert kind in ("run", "not run"), f"{block} {block.commands[0]}: put a marker above the block"
    if kind == "not run":
        assert len(place.split()) >= 2, "a reason"
    elif place != "here":
        for name in place.split(", "):
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.marker.startswith("run: tests/")], ids=str)
def test_the_named_test_runs_such_a_command(block):
    """Its text names the subcommands; that it runs them is its own affair."""
    text = ""
    for name in block.marker.removeprefix("run: ").split(", "):
        files = (ROOT / name).rglob("*.py") if (ROOT / name).is_dir() else [ROOT / name]
        text += "".join(path.read_text(encoding="utf-8") for path in files)
    for words in block.of("lisa-ros") + block.of("python", "-m", "training"):
        names = [words[0]] if words else []
        names += words[1:2] if words[:1] in (["eval"], ["record"], ["scannet"]) else []
        for name in names:
            assert re.search(rf"\b{re.escape(name)}\b", text), f"{block.marker}: no word of {' '.join(words)}"
    for script in re.findall(r"examples/(\w+)\.py", " ".join(block.commands)):
        assert script in text


@pytest.mark.parametrize("words", commands("make"))
def test_targets_of_make_exist(words):
    targets = [word for word in words if "=" not in word and not word.startswith("-")]
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize("words", commands("lisa-ros"))
def test_options_of_lisa_ros_are_understood(words):
    known = [word for word in words if word not in ("...", "&")]
    if "..." not in words:
        assert cli._parser(known[0]).parse_args(known).command == known[0]


@pytest.mark.parametrize("words", commands("python", "-m", "training") + commands("accelerate", "launch"))
def test_options_of_training_are_understood(words):
    from training.__main__ import _parser

    if words[:1] == ["--config_file"]:
        assert (ROOT / words[1]).is_file() or words[1].endswith("FILE")
        words = words[4:]
    args = _parser().parse_args(words)
    config = getattr(args, "config", None)
    assert config is None or (ROOT / config).is_file() or config.stem in ("mine", "FILE")


@pytest.mark.parametrize("words", commands("python", "-m", "training.data"))
def test_options_of_the_data_commands_are_understood(words):
    from training.data.__main__ import _parser

    _parser().parse_args(words)


@pytest.mark.parametrize("words", commands("ros2", "launch", "lisa_ros"))
def test_arguments_of_launch_make_a_graph(words):
    file, *arguments = words
    assert (ROOT / "launch" / file).is_file()
    if file == "perception.launch.py":
        given = [word for word in arguments if not word.startswith("--")]
        values = launcher.parse_arguments([word for word in given if "robot.yaml" not in word])
        assert "perception" in [process.name for process in graph.processes(values)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to run commands in, with a picture in it."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(generate_scene(3).image).save("picture.png")
    return tmp_path


@pytest.mark.parametrize("page", sorted({one.page for one in BLOCKS if one.marker == "run: here"}))
def test_what_is_to_be_run_here_runs(page, folder, capsys):
    for block in (one for one in BLOCKS if one.page == page and one.marker == "run: here"):
        ran = block.of("lisa-ros")
        assert len(ran) == len(block.commands), f"{block}: only lisa-ros is run here"
        for words in ran:
            assert cli.main(words) == 0, words
    assert capsys.readouterr().out
