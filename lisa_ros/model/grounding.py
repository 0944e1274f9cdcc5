"""Token ids -> grounding events, where the hidden state of each event stands, and which event is whose parent."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID, LisaTokenizer
from lisa_ros.types import LOC, REJ, SEG, EventKind, GroundingEvent

# Kinds that stand for a target; a LOC is a coarse region for a later SEG.
TARGET_KINDS = (SEG, REJ)

_SENTENCE_END = re.compile(r"[.!?;:\n](?:\s|$)")
_EDGES = " \t\n,.;:!?\"'()"
_LEAD_IN = frozenset(
    """a also an and are as certainly course follows for found here i i'm in is it it's located mask masks of okay on or
    requested result segmentation segmented segmenting shown sure target that that's the there these they they're this
    those to was were with yes you""".split()  # noqa: SIM905
)
_TRAILING = frozenset(
    "a an and are as at by for here in is it mask of that the this was were with".split()  # noqa: SIM905
)


def find_events(ids: Sequence[int], kinds: Mapping[int, EventKind], tokenizer: LisaTokenizer) -> list[GroundingEvent]:
    """Events of a sequence of ids, prompt included, with the words that belong to each.

    kinds: token id -> kind, see `Style.kinds`.
    """
    events, start = [], 0
    for position, id in enumerate(ids):
        if kind := kinds.get(int(id)):
            phrase = phrase_before(tokenizer.decode(ids[start:position], skip_special_tokens=True))
            events.append(GroundingEvent(kind, position, phrase))
            start = position + 1
    parents = parents_of([event.kind for event in events])
    return [replace(event, parent=parent) for event, parent in zip(events, parents, strict=True)]


def parents_of(kinds: Sequence[EventKind]) -> list[int | None]:
    """For each event the index of its parent, None for none: the n-th LOC is the parent of the n-th SEG.

    By rank, whichever comes first in the text. A SEG beyond the last LOC has none, a LOC beyond the last SEG is of no
    use.
    """
    coarse = [index for index, kind in enumerate(kinds) if kind == LOC]
    fine = [index for index, kind in enumerate(kinds) if kind == SEG]
    parents: list[int | None] = [None] * len(kinds)
    for child, parent in zip(fine, coarse, strict=False):
        parents[child] = parent
    return parents


def state_positions(
    events: Sequence[GroundingEvent], ids: Sequence[int], visual_tokens: int, state_offset: int = -1
) -> list[int]:
    """Positions in the expanded sequence of the hidden states that the events' masks are decoded from.

    ids: the sequence the events were found in, each image placeholder counted as one; it becomes `visual_tokens`.
    state_offset: of the style, counted from the token.
    """
    return [
        event.position
        + state_offset
        + (visual_tokens - 1) * sum(int(id) == IMAGE_TOKEN_ID for id in ids[: event.position])
        for event in events
    ]


def phrase_before(text: str) -> str:
    """What a mask token that follows `text` names: the words since the sentence began, without lead-ins.

    "It is the red mug" gives "red mug"; "Sure," gives "".
    """
    words = _SENTENCE_END.split(text.rstrip(" :,"))[-1].strip(_EDGES).split()
    while words and words[0].strip(_EDGES).lower() in _LEAD_IN:
        words.pop(0)
    while words and words[-1].strip(_EDGES).lower() in _TRAILING:
        words.pop()
    return " ".join(words).strip(_EDGES)
