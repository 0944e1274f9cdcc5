"""What a run shows: a bar on a terminal, plain lines at intervals elsewhere, and what it begins with."""

import fcntl
import io
import os
import pty
import re
import struct
import termios

import pytest

from lisa_ros import progress
from lisa_ros.progress import ProgressBar, track
from training.config.sections import DataConfig
from training.config.yaml_files import parse
from training.data.hybrid import DatasetGroup, HybridStream
from training.data.items import Renderer
from training.data.sources import samples_lines

pytestmark = pytest.mark.unit


def test_without_a_terminal_a_line_at_intervals(capsys, monkeypatch):
    clock = iter(range(0, 100_000, 7))  # s
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    bar = ProgressBar(100, first=10, unit="step")
    for step in range(11, 101):
        bar.advance(step, "loss 1.5")
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert all(re.fullmatch(r"step \d+ of 100, [\d:]+ spent, [\d:]+ left, loss 1\.5", line) for line in lines)
    told = [int(line.split()[1]) for line in lines]
    assert told[:3] == [11, 16, 21] and told[-1] == 100  # 7 s a step: 35 s between two lines
    assert "\r" not in "".join(lines)


def test_on_a_terminal_a_bar(monkeypatch):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        assert list(track(range(3), unit="image", description="validation")) == [0, 1, 2]
        shown = ""
        while "3/3" not in shown:  # a terminal gives what there is; the test's timeout ends it where nothing comes
            shown += os.read(ours, 100_000).decode()
    os.close(ours)
    assert "validation: 100%" in shown and "3/3" in shown


def test_the_silent_ones(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    assert list(track(iter("ab"), total=2, active=False)) == ["a", "b"]
    assert stream.getvalue() == ""


def test_the_samples_of_a_run_are_told_for_each_set():
    class Reader:
        def __init__(self, source, count):
            self.source, self.count = source, count

        def __len__(self):
            return self.count

    wanted = {"a": {"weight": 3, "sets": ["x", "y"]}, "b": {"weight": 1, "sets": ["z"]}}
    data = parse(DataConfig, {"groups": wanted}, "")
    groups = {"a": DatasetGroup(3, (Reader("x", 10), Reader("y", 7))), "b": DatasetGroup(1, (Reader("z", 2),))}
    stream = HybridStream(groups, Renderer(3, 0.1, {}), 0)
    assert samples_lines(data, stream) == ["a (75%): x 10 samples, y 7 samples", "b (25%): z 2 samples"]
