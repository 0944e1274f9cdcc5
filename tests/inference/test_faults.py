"""Cancellation and memory that runs out, at every stage; the engine answers the next query."""

import weakref

import pytest
import torch

from lisa_ros.errors import LisaError, MemoryBudgetError, QueryCancelled
from lisa_ros.model.memory import memory_guard
from lisa_ros.types import MaskReady

pytestmark = pytest.mark.unit
TWO_MASKS = "What can make the woman stand higher? Please output segmentation mask and explain why."
OUT_OF_MEMORY = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


def once(error, original):
    """A function that raises the first time, and remembers a tensor that it held then."""
    held = []

    def call(*arguments, **keywords):
        if not held:
            tensor = torch.zeros(1000)
            held.append(weakref.ref(tensor))
            raise error
        return original(*arguments, **keywords)

    call.held = held
    return call


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("part", ["sam.decode", "lm_head.forward", "model.forward"])
def test_out_of_memory_in_a_query(lisa, frame, monkeypatch, part, error):
    module, name = part.split(".")
    module = getattr(lisa.network, module)
    failing = once(error, getattr(module, name))
    expected = lisa.chat(frame, TWO_MASKS, max_new_tokens=12)
    monkeypatch.setattr(module, name, failing)
    with pytest.raises(MemoryBudgetError, match="not enough memory for this query"):
        lisa.chat(frame, TWO_MASKS, max_new_tokens=12)
    assert failing.held[0]() is None, "the query's tensors are freed"
    assert lisa.chat(frame, TWO_MASKS, max_new_tokens=12).answer == expected.answer


def test_out_of_memory_while_encoding(lisa, images, monkeypatch):
    monkeypatch.setattr(lisa.network.sam, "encode", once(MemoryError(), lisa.network.sam.encode))
    with pytest.raises(MemoryBudgetError, match=r"not enough memory for this image: .* Load the model with"):
        lisa.encode(images[0])
    assert lisa.encode(images[0]).visual.isfinite().all()


def test_out_of_memory_in_a_mask_only_query(lisa, frame, monkeypatch):
    monkeypatch.setattr(lisa.network.sam, "decode", once(MemoryError(), lisa.network.sam.decode))
    with pytest.raises(MemoryBudgetError):
        lisa.segment(frame, "the dog")
    assert lisa.segment(frame, "the dog").targets


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), memory_guard(torch.device("cpu")):
        raise RuntimeError("shapes do not fit")


def test_overflow_is_named(lisa, frame, monkeypatch):
    monkeypatch.setattr(lisa.network.lm_head, "forward", lambda hidden: torch.full((1, 443), float("nan")))
    with pytest.raises(LisaError, match="precision bf16 or fp32"):
        lisa.chat(frame, "x")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_mask_that_is_no_number_is_no_empty_mask(lisa, frame, monkeypatch, value):
    monkeypatch.setattr(lisa.network.sam, "decode", lambda *_: torch.full((1, 1, 64, 64), value))
    for ask in (lisa.segment, lisa.chat):
        with pytest.raises(LisaError, match="mask's values are not finite; load the checkpoint with precision bf16"):
            ask(frame, TWO_MASKS)


class After:
    """Says yes from the n-th time it is asked."""

    def __init__(self, calls):
        self.left = calls

    def __call__(self):
        self.left -= 1
        return self.left < 0


def test_cancel_at_every_point(lisa, frame):
    """Wherever the query is when the wish comes: it ends there, and the engine goes on."""
    expected = lisa.chat(frame, TWO_MASKS, max_new_tokens=12)
    points = 0
    while True:
        talk = lisa.conversation(frame)
        try:
            result = talk.ask(TWO_MASKS, max_new_tokens=12, cancelled=After(points))
        except QueryCancelled:
            points += 1
            assert talk._turns == [], "what was not finished was not said"
            continue
        break
    assert result.answer == expected.answer
    assert points > 12, "before every token and mask"


def test_cancel_a_mask_only_query(lisa, frame):
    for point in (0, 1):
        with pytest.raises(QueryCancelled):
            lisa.segment(frame, "the dog", cancelled=After(point))
    assert lisa.segment(frame, "the dog", cancelled=After(2)).targets


def test_conversation_after_a_cancelled_question(lisa, frame):
    talk = lisa.conversation(frame)
    first = talk.ask("Where is it?", max_new_tokens=4)
    with pytest.raises(QueryCancelled):
        talk.ask(TWO_MASKS, cancelled=After(5))
    fresh = lisa.conversation(frame)
    assert fresh.ask("Where is it?", max_new_tokens=4).answer == first.answer
    assert talk.ask("Why?", max_new_tokens=6).answer == fresh.ask("Why?", max_new_tokens=6).answer


def test_stream_may_be_left(lisa, frame):
    """A consumer that stops listening leaves nothing behind."""
    events = lisa.stream(frame, TWO_MASKS, max_new_tokens=12)
    next(event for event in events if isinstance(event, MaskReady))
    events.close()
    assert lisa.chat(frame, TWO_MASKS, max_new_tokens=12).targets
