"""Work beside other work: done at once on a CPU; on a GPU in the order that keeps both from reading too early."""

from contextlib import contextmanager

import pytest
import torch

from lisa_ros.inference.side_stream import SideWork

pytestmark = pytest.mark.unit
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_a_cpu_does_it_at_once():
    done = []
    side = SideWork(CPU, lambda: done.append(1) or torch.ones(2))
    assert done == [1]
    assert torch.equal(side.result(lambda made: (made,)), torch.ones(2))


class Stream:
    """Writes down what waits for what."""

    def __init__(self, name, events):
        self.name, self.events = name, events

    def wait_stream(self, other):
        self.events.append(f"{self.name} waits for {other.name}")


class OnGpu:
    """In place of a tensor."""

    def __init__(self, events):
        self.events = events

    def record_stream(self, stream):
        self.events.append(f"kept for {stream.name}")


def test_a_gpu_does_it_on_a_stream_of_its_own(monkeypatch):
    """The work sees what was computed before it; the caller waits for it, and its memory for the caller."""
    events = []
    main = Stream("main", events)

    @contextmanager
    def on(stream):
        events.append(f"on {stream.name}")
        yield
        events.append("on main")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("side", events))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: main)
    monkeypatch.setattr(torch.cuda, "stream", on)

    def work():
        events.append("work")
        return OnGpu(events)

    side = SideWork(GPU, work)
    events.append("other work")
    side.result(lambda made: (made,))
    assert events == [
        *("side waits for main", "on side", "work", "on main"),
        *("other work", "main waits for side", "kept for main"),
    ]
