"""The tokenizer and the chat template of ELISA's base, with the words for masks."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from jinja2 import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from lisa_ros.errors import CheckpointError
from lisa_ros.model.files import read_json
from lisa_ros.model.vision import quiet

MASK_WORD = " <SEG_MASK_{number}>"  # numbers begin at 1; the blank is part of the token
MASK_WORDS = 999
IMAGE_WORD = "<image>"
_CHAT_TEMPLATE_FILE = "chat_template.json"
_UNDECODED = "\ufffd"  # what a part of a character decodes to
_PLACE = "\ue000{number}\ue001"  # stands for an answer; no text that was checked holds these characters


class ElisaTokenizer:
    """Text to ids and back, with an id for each candidate mask.

    Args:
        base: Tokenizer of the LLaVA.
        end_of_turn: What ends an answer; generation stops at its first id. None for what the chat template writes
            behind an answer, or the end of the sequence where it writes nothing (LLaVA-1.5).
        source: Where it comes from, for messages.

    Attributes:
        first_candidate: Id of the first candidate mask.
        image_id: Id of the image's placeholder.
        eos_id: The id at which an answer ends.
        unk_id: Id that stands for unknown text, and for tokens that training drops.
        pad_id: Id that pads.
        bos_id: Id that a text begins with.
        added: Tokens that no query may hold.

    Raises:
        CheckpointError: The base has no placeholder for the image, no chat template, or tokens of such names already.
    """

    def __init__(self, base: PreTrainedTokenizerBase, *, end_of_turn: str | None, source: object) -> None:
        self._base = base
        base.padding_side = "left"
        known = base.get_vocab()
        if IMAGE_WORD not in known:
            raise CheckpointError(f"{source}: its tokenizer has no {IMAGE_WORD}; give a LLaVA in transformers' layout")
        self.first_candidate = len(base)
        words = [MASK_WORD.format(number=number) for number in range(1, MASK_WORDS + 1)]
        if set(words) & known.keys() or base.add_tokens(words) != MASK_WORDS:
            raise CheckpointError(f"{source}: its tokenizer has words for masks; give the LLaVA that ELISA began with")
        self.image_id = known[IMAGE_WORD]
        if not base.chat_template:
            raise CheckpointError(f"{source}: its tokenizer has no chat template, {_CHAT_TEMPLATE_FILE} is missing")
        self._takes_parts = self._probe(source)
        self.end_of_turn = end_of_turn or self._written_end()
        self.eos_id = self.encode(self.end_of_turn)[0]
        self.unk_id, self.pad_id, self.bos_id = base.unk_token_id, base.pad_token_id, base.bos_token_id
        special = {word for word in known if word[:1] == "<" and word[-1:] == ">" and word in base.chat_template}
        self.added = frozenset({*base.all_special_tokens, *special, IMAGE_WORD, MASK_WORD.split("{")[0].strip()})

    @classmethod
    def from_directory(cls, directory: Path, end_of_turn: str | None = None) -> "ElisaTokenizer":
        """The tokenizer of a LLaVA's directory. Raises CheckpointError."""
        try:
            with quiet():
                base = AutoTokenizer.from_pretrained(str(directory), trust_remote_code=False)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise CheckpointError(f"{directory} has no tokenizer that can be read: {error}") from error
        if not base.chat_template:
            base.chat_template = read_json(directory / _CHAT_TEMPLATE_FILE, optional=True).get("chat_template")
        return cls(base, end_of_turn=end_of_turn, source=directory)

    @cached_property
    def digest(self) -> str:
        """Tells tokenizers apart by their words and their chat template."""
        words = sorted(self._base.get_vocab().items())
        return hashlib.sha256(repr((words, self._base.chat_template, self.end_of_turn)).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        """Number of tokens, those of masks included."""
        return len(self._base)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without any at its beginning or end."""
        return self._base(text, add_special_tokens=False).input_ids

    def encode_prompt(self, prompt: str) -> list[int]:
        """Ids of a rendered prompt, which holds its special tokens; the first one is added where it does not."""
        ids = self.encode(prompt)
        return ids if self.bos_id is None or ids[:1] == [self.bos_id] else [self.bos_id, *ids]

    def _probe(self, source: object) -> bool:
        """Whether the chat template takes a turn as a list of parts, as LLaVA-1.5's, and not as text."""
        place = _PLACE.format(number=0)
        for takes_parts in (False, True):
            with suppress(TemplateError, TypeError):
                if place in self._templated([("?", place)], takes_parts, open_ended=False):
                    return takes_parts
        raise CheckpointError(f"{source}: its chat template leaves answers out; give a LLaVA in transformers' layout")

    def _written_end(self) -> str:
        """What the chat template writes behind an answer."""
        place = _PLACE.format(number=0)
        written = self._templated([("?", place)], self._takes_parts, open_ended=False).split(place)[1]
        return written if written.strip() else self._base.eos_token

    def _templated(self, turns: Sequence[tuple[str, str | None]], takes_parts: bool, open_ended: bool) -> str:
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}] if takes_parts else text}
            for turn in turns
            for role, text in zip(("user", "assistant"), turn, strict=True)
            if text is not None
        ]
        return self._base.apply_chat_template(messages, tokenize=False, add_generation_prompt=open_ended)

    def render(self, turns: Sequence[tuple[str, str | None]], *, exact: bool = False) -> str:
        """A conversation as the chat template words it, up to where the model has to go on if the last answer is None.

        The template takes blanks off both ends of every turn. An answer that begins with a mask loses its word for it
        that way, as in the official training; exact: answers stay as they are.
        """
        answers = [answer for _, answer in turns if answer is not None] if exact else []
        places = iter(_PLACE.format(number=number) for number in range(len(answers)))
        shown = [(question, next(places) if exact and answer is not None else answer) for question, answer in turns]
        text = self._templated(shown, self._takes_parts, bool(turns) and turns[-1][1] is None)
        for number, answer in enumerate(answers):
            place = _PLACE.format(number=number)
            if answer.startswith(" ") and f" {place}" in text:  # the blank is there, and is the mask's
                answer = answer[1:]
            text = text.replace(place, answer, 1)
        return text

    def is_text(self, id: int) -> bool:
        """Whether the token is part of words, not a mask, a mark of the template or padding behind the vocabulary."""
        return id < self.first_candidate and id not in self._marks

    @cached_property
    def _marks(self) -> frozenset[int]:
        vocabulary = self._base.get_vocab()
        return frozenset(vocabulary[word] for word in self.added if word in vocabulary)

    def expand_image(self, ids: Iterable[int], visual_tokens: int) -> list[int]:
        """The placeholder of the image once for each visual token."""
        return [one for id in ids for one in ([id] * visual_tokens if id == self.image_id else [id])]

    def word(self, id: int) -> str:
        """A row of the vocabulary for people to read: its text, else the token's name, else its number."""
        if id >= self.first_candidate:
            return f"row {id}"
        text = self.decode([id]).strip()
        is_readable = bool(text) and text.isprintable() and _UNDECODED not in text
        return text if is_readable else repr(self._base.convert_ids_to_tokens(id))[1:-1]

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """Text of ids, blanks as they are; padding rows have none."""
        known = [id for id in ids if id < len(self)]
        return self._base.decode(known, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False)
