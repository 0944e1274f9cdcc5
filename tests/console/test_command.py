"""`lisa-ros console`: its arguments, and what it says where it cannot begin."""

import socket

import pytest

from lisa_ros import cli, graph
from lisa_ros.commands import console

pytestmark = pytest.mark.unit


@pytest.fixture
def started(monkeypatch):
    """What would be started."""
    processes = []
    monkeypatch.setattr(console, "run_processes", lambda wanted: processes.extend(wanted) or 0)
    monkeypatch.setattr(console, "check_installed", lambda: None)
    return processes


def test_it_starts_the_console_alone(started):
    assert cli.main(["console", "namespace:=bob", "port:=0", "host:=0.0.0.0", "camera:=zed"]) == 0
    [process] = started
    assert (process.name, process.namespace) == ("console", "bob")
    assert process.parameters == {"host": "0.0.0.0", "port": 0}
    assert dict(process.remappings)["image"].startswith("/zed")


@pytest.mark.parametrize("word", ["model:=x", "hots:=0.0.0.0", "port"])
def test_arguments_of_something_else_end_with_one_line(started, capsys, word):
    assert cli.main(["console", word]) == 2
    assert capsys.readouterr().err.startswith("lisa-ros console: ")
    assert not started


def test_its_help_lists_its_arguments(capsys):
    with pytest.raises(SystemExit):
        cli.main(["console", "--help"])
    text = capsys.readouterr().out
    for name in console._ARGUMENTS:
        assert f"{name}:=" in text
        assert name in graph._BY_NAME


@pytest.mark.ros
@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["port:={used}"], "port:="), (["host:=no.such.host.invalid"], "no.such.host.invalid"), (["port:=70000"], "port")],
)
def test_an_address_that_cannot_be_served_ends_it(start_python, arguments, words):
    pytest.importorskip("viser")
    with socket.create_server(("127.0.0.1", 0)) as used:
        arguments = [word.format(used=used.getsockname()[1]) for word in arguments]
        process = start_python("lisa_ros", "console", *arguments)
        assert process.wait(60) == 2
    assert words in process.output
