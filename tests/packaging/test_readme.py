"""README.md: its commands are understood by the programs that they name, and its Python runs as it stands."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from lisa_ros import cli, graph, launcher
from lisa_ros.simulator import generate_scene

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.M | re.S)


def commands() -> list[list[str]]:
    """The words of every command in a block of shell."""
    text = "\n".join(block for language, block in BLOCKS if not language).replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in text.splitlines()]
    starts = ("make ", "ros2 ", "lisa-ros ", "python ", "accelerate ")
    return [shlex.split(line, comments=True) for line in lines if line.startswith(starts)]


def of(*program: str) -> list:
    """The arguments of every command of a program, as parameters of a test."""
    found = [words[len(program) :] for words in commands() if tuple(words[: len(program)]) == program]
    assert found, f"README.md has no command {' '.join(program)}"
    return [pytest.param(words, id=" ".join(words)[:60]) for words in found]


def test_every_command_belongs_to_a_program_that_is_tested_here():
    programs = {words[0] if words[0] != "python" else " ".join(words[:3]) for words in commands()}
    assert programs == {"make", "ros2", "lisa-ros", "accelerate", "python -m training", "python -m training.data"}
    assert {tuple(words[1:3]) for words in commands() if words[0] == "ros2"} == {
        ("topic", "pub"), ("topic", "echo"), ("launch", "lisa_ros"),
    }  # fmt: skip


@pytest.mark.parametrize("words", of("make"))
def test_targets_of_make_exist(words):
    assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize("words", of("lisa-ros"))
def test_commands_are_parsed(words):
    assert cli._parser(words[0]).parse_args(words).command == words[0]


@pytest.mark.parametrize("text", sorted(set(re.findall(r"`lisa-ros ([^`]*)`", TEXT))))
def test_commands_that_the_text_names_exist(text, capsys):
    words = [word for word in shlex.split(text) if not word.isupper()]
    with pytest.raises(SystemExit) as end:
        cli._parser(words[0]).parse_args([*words, "--help"])
    assert end.value.code == 0 and f"lisa-ros {words[0]}" in capsys.readouterr().out


@pytest.mark.parametrize("words", of("ros2", "launch"))
def test_arguments_of_launch_make_a_graph(words):
    package, file, *arguments = words
    assert package == "lisa_ros" and (ROOT / "launch" / file).is_file()
    values = launcher.parse_arguments([word for word in arguments if not word.startswith("--")])
    assert [process.name for process in graph.processes(values)] == ["perception"]


@pytest.mark.parametrize("words", of("ros2", "topic", "pub"))
def test_messages_that_are_published_are_those_of_the_topic(words):
    message = importlib.import_module("std_msgs.msg").String
    assert words[:3] == ["--once", "/lisa/query", "std_msgs/msg/String"]
    assert message(**yaml.safe_load(words[3])).data


@pytest.mark.parametrize("words", of("ros2", "topic", "echo"))
def test_fields_that_are_shown_are_in_the_message(words):
    from lisa_ros.msg import SegmentationResult

    assert words[:2] == ["--once", "/lisa/result"]
    assert words[words.index("--field") + 1] in SegmentationResult.get_fields_and_field_types()


@pytest.mark.parametrize("words", [*of("python", "-m", "training"), *of("accelerate", "launch")])
def test_training_commands_are_parsed_and_their_files_exist(words):
    from training.__main__ import _parser

    if words[0] == "--config_file":
        assert (ROOT / words[1]).is_file() and words[2:4] == ["-m", "training"]
        words = words[4:]
    assert (ROOT / _parser().parse_args(words).config).is_file()


@pytest.mark.parametrize("words", of("python", "-m", "training.data"))
def test_the_check_of_data_runs(words, golden, capsys):
    from training.data.__main__ import main

    command, folder = words
    assert folder == "~/datasets"
    main([command, str(golden / "datasets")])
    assert "reason_seg" in capsys.readouterr().out


def test_the_python_runs_as_it_stands():
    blocks = [block for language, block in BLOCKS if language == "python"]
    for block in blocks:
        compile(block, "README.md", "exec")  # what asks a node is run by the tests of the client
    (block,) = (block for block in blocks if "Lisa.from_pretrained" in block)
    names = {"image": generate_scene(3).image}
    exec(compile(block, "README.md", "exec"), names)
    assert names["result"].targets[0].mask.shape == names["image"].shape[:2]
    assert names["event"].result.answer, "the last event of a stream is the whole result"


def test_links_lead_somewhere():
    for link, anchor in re.findall(r"\]\(([^)#:]+)(?:#([\w-]+))?\)", TEXT):
        assert (ROOT / link).exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.*)$", (ROOT / link).read_text(), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, anchor
