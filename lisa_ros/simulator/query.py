"""One question about a scene, and how its reference answer is worded."""

from collections.abc import Sequence
from dataclasses import dataclass

from lisa_ros.simulator.phrasing import is_plural
from lisa_ros.simulator.scene import SceneObject


@dataclass(frozen=True)
class TabletopQuery:
    """One question about a scene with its truth.

    Attributes:
        text: The question.
        kind: One of KINDS.
        target_ids: `SceneObject.id`s in the order of the answer's `[SEG]` tokens (left to right in the image), empty if
            the target is absent.
        phrases: "red mug" for each target; for an absent query what is not there.
        answer: Reference answer.
        subkind: For absent queries "known", "unknown", "attribute" or "affordance", else "".
        absent: Beside present targets, the phrases that the question names and the scene does not hold.
        alternatives: "blue mug" for each object that an answer may name in the place of an absent one.
    """

    text: str
    kind: str
    target_ids: tuple[int, ...]
    phrases: tuple[str, ...]
    answer: str
    subkind: str = ""
    absent: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()


def object_phrase(item: SceneObject) -> str:
    """How a question names an object: colour and category."""
    return f"{item.colour} {item.category}"


def reference_answer(phrases: tuple[str, ...]) -> str:
    """The answer that shows these objects, in this order.

    Of "red mug" it is "The mug in red [SEG].".

    The category comes first because a language model speaks word by word: with the category said, it can look the
    object up before it must say the colour.
    """
    named = ["the {1} in {0} [SEG]".format(*phrase.split(" ", 1)) for phrase in phrases]
    text = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return f"T{text[1:]}."


def refusal(noun: str) -> str:
    """The answer that a known thing is not there ("The mug is not here"), which begins as if it were."""
    return f"The {noun} {'are' if is_plural(noun) else 'is'} not here."


# The answers about things that the model was taught no word for: it would spell the question's, and invent words.
NOTHING_REFUSAL = "There is nothing like that here."
OTHER_REFUSAL = "The other thing is not here."  # beside other things


def wrong_colour(colour: str, noun: str, others: Sequence[str] = ()) -> str:
    """The answer to "the red mug" where there are mugs, but none of that colour.

    Args:
        colour: That was asked for.
        noun: Category.
        others: Colours in which it is there and well seen; the first two are offered.
    """
    offer = f", but {' or '.join(others[:2])}" if others else ""
    return f"The {noun} {'are' if is_plural(noun) else 'is'} not {colour}{offer}."
