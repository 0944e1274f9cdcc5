"""Questions and answers of ELISA's training: where the words for masks stand, and what leads in to them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.elisa.tokenizer import MASK_WORD

MaskPosition = Literal["before", "after", "randomized"]
_POSITIONS = ("before", "after", "randomized")
_LEAD_INS = (
    "It is shown by",
    "The mask you want is",
    "What you asked for is here:",
    "You find it at",
    "This part of the picture fits:",
    "I would point at",
    "The matching region is",
    "In this picture it is",
    "Look at",
    "The answer is the region",
    "It can be seen at",
)
_REQUESTS = (
    "Answer with the mask",
    "Show me the mask",
    "Point out the region",
    "Show the region that is meant",
    "Mark it in the picture",
    "Give me its mask",
    "Select the region",
    "Select what is meant",
    "Name the mask of it",
    "Tell me which region it is",
    "Outline it",
    "Give the region of the thing",
)


@dataclass(frozen=True)
class ElisaWording:
    """What is said around a question and around the words for masks.

    Attributes:
        lead_ins: Before the words for masks in an answer; one is drawn.
        requests: Beside the question; one is drawn.
        position: Whether masks stand before or after the explanation, and requests before or after the question.
        text: Whether answers have a lead-in.

    Raises:
        ConfigurationError: A list is empty, or the position is unknown.
    """

    lead_ins: tuple[str, ...] = _LEAD_INS
    requests: tuple[str, ...] = _REQUESTS
    position: MaskPosition = "randomized"
    text: bool = True

    def __post_init__(self) -> None:
        if self.position not in _POSITIONS:
            raise ConfigurationError(f"position is {self.position!r}; it must be one of {', '.join(_POSITIONS)}")
        if not self.lead_ins or not self.requests:
            raise ConfigurationError("a wording needs at least one lead-in and one request")


def render_turn(
    query: str,
    explanation: str,
    numbers: Sequence[int],
    wording: ElisaWording,
    uniform: Callable[[], float],
    choose: Callable[[int], int],
) -> tuple[str, str]:
    """A question and its answer.

    The draws come in the official order: side of the masks, lead-in, side of the request, request; the sides only where
    the position is randomized.

    Args:
        query: What is asked.
        explanation: Why the answer is right; "" for none.
        numbers: Of the words for masks; before the explanation the last one stands first, as in the official code.
        wording: See ElisaWording.
        uniform: Draws a number from [0, 1).
        choose: Draws an index below its argument.

    Returns:
        The question, without what stands for the image, and the answer.
    """
    words = [MASK_WORD.format(number=number) for number in numbers]
    if _comes_first(wording, uniform):
        answer = f". {explanation}".rstrip() if wording.text else explanation
        answer = "".join(reversed(words)) + answer
        if wording.text:
            answer = wording.lead_ins[choose(len(wording.lead_ins))] + answer
    else:
        lead_in = f" {wording.lead_ins[choose(len(wording.lead_ins))]}" if wording.text else ""
        answer = (explanation + lead_in).removeprefix("" if explanation else " ") + "".join(words)
        answer += "." if wording.text else ""
    if _comes_first(wording, uniform):
        return f"{wording.requests[choose(len(wording.requests))]}. {query}", answer
    return f"{query} {wording.requests[choose(len(wording.requests))]}.", answer


def _comes_first(wording: ElisaWording, uniform: Callable[[], float]) -> bool:
    return uniform() < 0.5 if wording.position == "randomized" else wording.position == "before"
