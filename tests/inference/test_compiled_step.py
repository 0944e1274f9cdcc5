"""The compiled step: the ids of plain steps, for one answer at a time; and what happens where it fails."""

import itertools
import logging
import threading

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from lisa_ros.errors import ConfigurationError
from lisa_ros.inference import compiled_step as module
from lisa_ros.inference.compiled_step import CompiledStep, TokenLoop, compiled_step
from lisa_ros.inference.generation import greedy_token, prefill

pytestmark = pytest.mark.unit
CPU = torch.device("cpu")
QUESTIONS = (
    "What can make the woman stand higher? Please output segmentation mask and explain why.",
    "Where is the dog? Please respond with segmentation mask.",
    "the red box",
)


@pytest.fixture(scope="module")
def lengths(lisa, images):
    """Two lengths that answers of 50 tokens to the questions go through and beyond."""
    frame = lisa.encode(images[1])
    prompts = [lisa.model.prompt_ids(frame, [(lisa.model.first_question(one), None)]) for one in QUESTIONS]
    return tuple(max(map(len, prompts)) + more for more in (8, 20))


@pytest.fixture(scope="module")
def compiled(load, lengths):
    """The tiny model with steps of fixed shapes, of two lengths, that run as they are written: compiling takes long."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch, "compile", lambda run, **_: run)
        patched.setattr(module, "LENGTHS", lengths)
        return load(compile="always")


def ids(lisa, frame, question, count):
    """Greedy ids of an answer, and the loop that made them."""
    model = lisa.model
    prompt = model.prompt_ids(frame, [(model.first_question(question), None)])
    cache, hidden = prefill(model.network, prompt, frame.visual, frame.prefix)
    with model.compiled_for_answer() as step:
        loop, said, lengths = TokenLoop(model.network, cache, step), [], set()
        for _ in range(count):
            said.append(greedy_token(model.network, hidden)[0])
            hidden = loop.feed(said[-1])
            lengths.add(loop._length)
        return said, lengths, loop.layers()


@pytest.mark.parametrize("question", QUESTIONS)
def test_ids_are_those_of_plain_steps(lisa, compiled, lengths, images, question):
    """Through both fixed lengths and beyond them."""
    expected, plain, layers = ids(lisa, lisa.encode(images[1]), question, 50)
    said, used, captured = ids(compiled, compiled.encode(images[1]), question, 50)
    assert said == expected
    assert plain == {None} and used == {*lengths, None}
    for pair, other in zip(layers, captured, strict=True):
        for one, two in zip(pair, other, strict=True):
            torch.testing.assert_close(one, two, atol=1e-4, rtol=0)


@pytest.mark.timeout(600)
def test_the_captured_graph_says_the_same(lisa, load, lengths, images, monkeypatch):
    """The step as torch's compiler captures it: one graph, which an answer does not make anew."""
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "propagate", False)  # pytest would collect a lot
    monkeypatch.setattr(module, "_BACKEND", "eager")
    monkeypatch.setattr(module, "LENGTHS", lengths[1:])
    counters["stats"].clear()
    captured = load(compile="always")
    assert counters["stats"]["unique_graphs"] == 1
    expected, *_ = ids(lisa, lisa.encode(images[1]), QUESTIONS[0], 12)
    said, used, _ = ids(captured, captured.encode(images[1]), QUESTIONS[0], 12)
    assert said == expected and used == {lengths[1]}
    assert counters["stats"]["unique_graphs"] == 1


def test_conversations_and_masks_are_the_same(lisa, compiled, images):
    talks = [one.conversation(one.encode(images[1])) for one in (lisa, compiled)]
    for question in QUESTIONS:
        first, second = (talk.ask(question, max_new_tokens=20) for talk in talks)
        assert first.answer == second.answer
        for one, two in zip(first.targets, second.targets, strict=True):
            np.testing.assert_allclose(one.logits, two.logits, rtol=0, atol=1e-4)


def test_answers_that_run_at_once_do_not_touch_each_other(lisa, compiled, images):
    """The second one does without the compiled step, and so does another thread."""
    frame = compiled.encode(images[1])
    alone = [compiled.chat(frame, question, max_new_tokens=12).answer for question in QUESTIONS[:2]]
    streams = [compiled.stream(frame, question, max_new_tokens=12) for question in QUESTIONS[:2]]
    mixed = [[], []]
    for events in itertools.zip_longest(*streams):
        for said, event in zip(mixed, events, strict=True):
            said += [event] if event else []
    assert [said[-1].result.answer for said in mixed] == alone
    with compiled.model.compiled_for_answer() as step:
        assert step is not None
        with compiled.model.compiled_for_answer() as second:
            assert second is None
    found = []
    thread = threading.Thread(target=lambda: found.append(compiled.chat(frame, QUESTIONS[0], max_new_tokens=12).answer))
    thread.start()
    thread.join()
    assert found == alone[:1]


def test_a_stream_that_is_left_gives_the_step_back(compiled, images):
    stream = compiled.stream(compiled.encode(images[1]), QUESTIONS[0], max_new_tokens=12)
    next(stream)
    assert compiled.model.compiled._taken
    stream.close()
    assert not compiled.model.compiled._taken


def test_auto_leaves_a_cpu_alone(lisa):
    assert lisa.model.compiled is None
    assert compiled_step(lisa.network, "never", precision="fp32", device=torch.device("cuda")) is None
    assert compiled_step(lisa.network, "auto", precision="nf4", device=torch.device("cuda")) is None


def test_unknown_values_are_refused_before_anything_is_loaded(load):
    with pytest.raises(ConfigurationError, match=r"compile='yes' is unknown; choose one of auto, always, never"):
        load(compile="yes")


def test_a_step_that_computes_something_else_is_not_used(lisa, monkeypatch):
    """On a GPU, where nobody asked for it, it is said; where it was asked for it is refused."""
    monkeypatch.setattr(CompiledStep, "_step", lambda self, fed, length: fed)
    monkeypatch.setattr(module, "LENGTHS", (32,))
    with pytest.raises(
        ConfigurationError, match=r"states differ by .* 32 positions; load the model with compile=never"
    ):
        compiled_step(lisa.network, "always", precision="fp32", device=CPU)
    with pytest.warns(RuntimeWarning, match="plain steps"):
        assert compiled_step(lisa.network, "auto", precision="fp32", device=torch.device("cuda")) is None


def test_a_compiler_that_is_not_there_is_named(lisa, monkeypatch):
    monkeypatch.setattr(module, "_BACKEND", "no_such_backend")
    with pytest.raises(ConfigurationError, match=r"cannot be compiled.*no_such_backend"):
        compiled_step(lisa.network, "always", precision="fp32", device=CPU)
