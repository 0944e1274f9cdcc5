"""Token ids of an answer -> its words, piece by piece."""

import re
from collections.abc import Callable, Mapping

from lisa_ros.model.grounding import phrase_before
from lisa_ros.model.tokenizer import LisaTokenizer

_UNFINISHED = "\ufffd"  # what incomplete bytes of a character decode to
_NO_BLANK_BEFORE = ".,;:!?)"
_ENDS_CLAUSE = ".;:!?"
_NO_COLON_BEFORE = ".,;!?("


class AnswerText:
    """Collects an answer's tokens; `push` and `finish` return the text that has become certain since the last call.

    White space is collapsed; mask tokens leave no trace ("It is the mug [SEG]." reads "It is the mug."), or words in
    their place. The pieces returned, joined, are `text` after `finish`.
    """

    def __init__(
        self,
        tokenizer: LisaTokenizer,
        phrase_of: Callable[[str], str] = phrase_before,
        words: Mapping[int, str] | None = None,
    ) -> None:
        """An empty answer.

        Args:
            tokenizer: Of the model.
            phrase_of: What a token names that follows a text, see `Style.phrase`.
            words: Token id -> what is read in its place, "" or not there for nothing.
        """
        self._tokenizer = tokenizer
        self._phrase_of, self._words = phrase_of, words or {}
        self._before = ""
        self._segments = [""]
        self._run: list[int] = []
        self.text = ""

    def push(self, id: int) -> str:
        """A token; one that is not text (a mask token, a special token) ends a segment."""
        if self._tokenizer.is_text(id):
            self._run.append(id)
            self._segments[-1] = self._tokenizer.decode(self._run)
        else:
            self._run, self._before = [], self._segments[-1]
            self._segments += [word, ""] if (word := self._words.get(id)) else [""]
        return self._advance(_joined(self._segments), final=False)

    def finish(self) -> str:
        """The answer is over."""
        return self._advance(_joined(self._segments), final=True)

    @property
    def phrase(self) -> str:
        """The words that belong to the mask token that was just pushed."""
        return self._phrase_of(_collapsed(self._before))

    def _advance(self, text: str, final: bool) -> str:
        if final:
            if len(self._segments) > 1 and not self._segments[-1].strip():
                text = text.removesuffix(",").removesuffix(":")  # "Sure, [SEG]"
        else:
            # The end may still change: bytes of an unfinished character, a mark that a mask token may leave behind.
            text = text.rstrip(_UNFINISHED + " ,:")
        delta = text[len(self.text) :]
        self.text += delta
        return delta


def _collapsed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _joined(segments: list[str]) -> str:
    text = ""
    for segment in map(_collapsed, segments):
        if not segment:
            continue
        if text and segment[0] in _ENDS_CLAUSE:
            text = text.removesuffix(",")
        if text and segment[0] in _NO_COLON_BEFORE:  # "the mug: [SEG], the fork: [SEG]."
            text = text.removesuffix(":")
        if text and segment[0] not in _NO_BLANK_BEFORE:
            text += " "
        text += segment
    return text
