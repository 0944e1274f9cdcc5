"""Token ids -> grounding events, and where the hidden state of each event stands."""

import re
from collections.abc import Sequence

from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID, LisaTokenizer
from lisa_ros.model.vocabulary import GroundingVocabulary
from lisa_ros.types import GroundingEvent

# The mask is read from the state that predicts its token, one position before it.
STATE_OFFSET = -1

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


def find_events(ids: Sequence[int], vocabulary: GroundingVocabulary, tokenizer: LisaTokenizer) -> list[GroundingEvent]:
    """Events of a sequence of ids, prompt included, with the words that belong to each."""
    events, start = [], 0
    for position, id in enumerate(ids):
        kind = vocabulary.kinds.get(int(id))
        if kind:
            phrase = phrase_before(tokenizer.decode(ids[start:position], skip_special_tokens=True))
            events.append(GroundingEvent(kind, position, phrase))
            start = position + 1
    return events


def state_positions(events: Sequence[GroundingEvent], ids: Sequence[int], visual_tokens: int) -> list[int]:
    """Positions in the expanded sequence of the hidden states that the events' masks are decoded from.

    ids: the sequence the events were found in, each image placeholder counted as one; it becomes `visual_tokens`.
    """
    return [
        event.position
        + STATE_OFFSET
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
