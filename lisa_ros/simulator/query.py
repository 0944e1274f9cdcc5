"""One question about a scene, and how its reference answer is worded."""

from dataclasses import dataclass

from lisa_ros.simulator.scene import SceneObject


@dataclass(frozen=True)
class TabletopQuery:
    """One question with its truth.

    text: what is asked. kind: one of KINDS. target_ids: `SceneObject.id`s in the order of the answer's `[SEG]` tokens
    (left to right in the image), empty when absent. phrases: "red mug" for each target; for an absent query what is not
    there.
    answer: reference words. subkind: for absent queries "known", "unknown", "attribute", "affordance"; else "".
    """

    text: str
    kind: str
    target_ids: tuple[int, ...]
    phrases: tuple[str, ...]
    answer: str
    subkind: str = ""


def object_phrase(item: SceneObject) -> str:
    """How an answer names an object: colour and category."""
    return f"{item.colour} {item.category}"


def reference_answer(phrases: tuple[str, ...]) -> str:
    """The answer that shows these objects, in this order."""
    named = [f"the {phrase} [SEG]" for phrase in phrases]
    if len(named) == 1:
        return f"It is {named[0]}."
    return f"They are {', '.join(named[:-1])} and {named[-1]}."
