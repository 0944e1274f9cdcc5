"""Keeps generated answers to whole words: those of a list and those of the prompt.

A small model has a token for each word that it was taught and spells all others piece by piece, and so invents words
("ove" for an oven). Greedy decoding that may only go on with a piece of an allowed word cannot do that.
"""

import re
from collections.abc import Iterable, Sequence

from torch import Tensor

from lisa_ros.model.tokenizer import LisaTokenizer

_WORD = re.compile(r"\w+")
_END = -1  # in a node: a word may end here
_DAMAGED = "\ufffd"


class AnswerWords:
    """The words that answers may consist of, beside those of their prompts."""

    def __init__(self, tokenizer: LisaTokenizer, words: Iterable[str]) -> None:
        """words: in lower case; they may begin with a capital letter in an answer."""
        self._tokenizer = tokenizer
        self._before = tokenizer.encode("the", bos=False)
        self._words = [self._pieces(form) for word in words for form in (word, word.capitalize())]
        self._free = frozenset(filter(self._is_no_word, range(len(tokenizer))))

    def progress(self, prompt: Sequence[int]) -> "AnswerProgress":
        """What may come next in the answer to a prompt (ids, the image's among them), from its first token on."""
        said = set(_WORD.findall(self._tokenizer.decode(prompt, skip_special_tokens=True)))
        root: dict = {}
        for pieces in [*self._words, *(self._pieces(form) for word in said for form in {word, word.lower()})]:
            node = root
            for piece in pieces:
                node = node.setdefault(piece, {})
            node[_END] = {}
        return AnswerProgress(root, self._free)

    def _pieces(self, word: str) -> list[int]:
        return self._tokenizer.encode(f"the {word}", bos=False)[len(self._before) :]

    def _is_no_word(self, id: int) -> bool:
        """Whether an id is a mark, an added token or the end, which may stand between words."""
        if not self._tokenizer.is_text(id):
            return id not in (self._tokenizer.unk_id, self._tokenizer.bos_id)
        text = self._tokenizer.decode([id]).strip()
        return bool(text) and not (_WORD.search(text) or _DAMAGED in text)  # a blank alone begins a word


class AnswerProgress:
    """One answer as it is generated."""

    def __init__(self, root: dict, free: frozenset[int]) -> None:
        self._root, self._free = root, free
        self._node: dict = {_END: {}}  # between words

    def choose(self, logits: Tensor) -> int:
        """The most probable token (of logits (vocab_size,)) that may come next; the answer goes on with it."""
        token = int(logits.argmax())
        if not self._allows(token):
            allowed = [id for id in range(len(logits)) if self._allows(id)]
            token = allowed[int(logits[allowed].argmax())]
        self._node = self._node.get(token) or self._root.get(token, {_END: {}})
        return token

    def _allows(self, token: int) -> bool:
        """A further piece of the word, or between words a mark or the first piece of another."""
        return token in self._node or (_END in self._node and (token in self._free or token in self._root))
