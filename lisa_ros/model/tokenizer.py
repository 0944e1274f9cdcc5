"""The tokenizer that published LISA checkpoints were trained with, on top of `sentencepiece` alone.

LISA used the slow LlamaTokenizer of transformers 4.31 in its "legacy" mode. Later tokenizers give other ids for the
same files (white space around `[SEG]` and `<im_start>`, dummy prefixes), and the state that predicts `[SEG]` then sits
on a token that the weights never saw. So the rules are restated here:

* text is split at `<unk> <s> </s>` and at the added tokens;
* white space, newlines included, is stripped around added tokens, and kept around `<unk> <s> </s>`;
  checkpoints trained with transformers 4.44 (GSVA's) keep it around all of them;
* every remaining chunk is encoded by sentencepiece on its own, with a dummy prefix;
* `<s>` is put in front, `</s>` never appended.
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import sentencepiece

from lisa_ros.errors import CheckpointError
from lisa_ros.model.files import read_json, refuse_pointer

_LOG = logging.getLogger(__name__)
IMAGE_PLACEHOLDER = "<image>"
IMAGE_TOKEN_ID = -200
SEG_TOKEN = "[SEG]"
_WORD_START = "\u2581"  # sentencepiece's sign for a blank


@dataclass(frozen=True)
class FixedToken:
    """A token that is never split. strip_left/right: drop white space of the neighbouring text."""

    text: str
    id: int
    strip_left: bool
    strip_right: bool


class LisaTokenizer:
    """Token ids <-> text.

    added: the added tokens (`[SEG]`, `<im_start>`, ...) and their ids. strips_added_tokens: whether white space around
    them is dropped, see the module; without it, it is kept around every token.
    """

    def __init__(
        self, model: bytes, special: Iterable[FixedToken], added: dict[str, int], strips_added_tokens: bool = True
    ) -> None:
        special = list(special)
        self._constructed_with = (model, special)
        self._strips_added_tokens = strips_added_tokens
        self._sp = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.model_bytes = model
        self.added = dict(added)
        self.bos_id, self.eos_id, self.unk_id = self._sp.bos_id(), self._sp.eos_id(), self._sp.unk_id()
        self._special = {token.id: token.text for token in special}
        fixed = [*special, *(FixedToken(text, id, True, True) for text, id in added.items())]
        if not strips_added_tokens:
            fixed = [FixedToken(token.text, token.id, False, False) for token in fixed]
        self._fixed = {token.text: token for token in fixed}
        self._added_text = {id: text for text, id in added.items()}
        longest_first = sorted(self._fixed, key=len, reverse=True)
        self._splitter = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    def with_tokens(self, tokens: Iterable[str], *, strips_added_tokens: bool = True) -> "LisaTokenizer":
        """A tokenizer of the same vocabulary in which `tokens`, where they lack, are added in their order."""
        added = dict(self.added)
        for token in tokens:
            added.setdefault(token, max([self._sp.vocab_size() - 1, *added.values()]) + 1)
        return LisaTokenizer(*self._constructed_with, added, strips_added_tokens)

    def __len__(self) -> int:
        """Number of token ids, added tokens included."""
        return max(self._sp.vocab_size(), *(id + 1 for id in self.added.values()), 0)

    @cached_property
    def digest(self) -> str:
        """The same for tokenizers that give the same ids, whatever files they come from."""
        fixed = repr(sorted(self._fixed.items())).encode()
        return hashlib.sha256(fixed + self.model_bytes).hexdigest()[:16]

    @cached_property
    def seg_id(self) -> int:
        """The one id of `[SEG]`; raises CheckpointError where the text is split into several."""
        ids = self.encode(SEG_TOKEN, bos=False)
        if len(ids) != 1:
            raise CheckpointError(
                f"{SEG_TOKEN} must be one token, this tokenizer splits it into {len(ids)} ids {ids}: "
                "added_tokens.json of a LISA checkpoint holds it"
            )
        return ids[0]

    def encode(self, text: str, bos: bool = True) -> list[int]:
        """Ids of `text`, without image placeholders; `<s>` in front if `bos`."""
        ids = [self.bos_id] if bos else []
        chunks = self._splitter.split(text)
        for i in range(1, len(chunks), 2):
            token = self._fixed[chunks[i]]
            if token.strip_left:
                chunks[i - 1] = chunks[i - 1].rstrip()
            if token.strip_right:
                chunks[i + 1] = chunks[i + 1].lstrip()
        for i, chunk in enumerate(chunks):
            if i % 2:
                ids.append(self._fixed[chunk].id)
            elif chunk:
                ids += self._sp.encode(chunk)
        return ids

    def encode_prompt(self, prompt: str) -> list[int]:
        """Ids of a prompt with `<image>` placeholders (-200); the parts around them are encoded each on its own."""
        first, *others = prompt.split(IMAGE_PLACEHOLDER)
        ids = self.encode(first)
        for part in others:
            ids += [IMAGE_TOKEN_ID, *self.encode(part, bos=False)]
        return ids

    def is_text(self, id: int) -> bool:
        """Whether the id stands for text, rather than for a special or added token or for nothing at all."""
        return 0 <= id < self._sp.vocab_size() and id not in self._special and id not in self._added_text

    @staticmethod
    def expand_image(ids: Iterable[int], visual_tokens: int) -> list[int]:
        """The image's id repeated for each of the visual tokens that take its place."""
        return [id for one in ids for id in ([one] * visual_tokens if one == IMAGE_TOKEN_ID else [one])]

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """Text of `ids`. Added tokens are surrounded by single spaces; ids without a token leave nothing."""
        ids = [int(id) for id in ids if 0 <= id < self._sp.vocab_size() or int(id) in self._added_text]
        if skip_special_tokens:
            ids = [id for id in ids if id not in self._special]
        parts: list[str] = []
        run: list[int] = []
        for id in ids:
            if id in self._added_text:
                if run and ((text := self._decode_run(run)) or self._strips_added_tokens):
                    parts.append(text)
                parts.append(self._added_text[id])
                run = []
            else:
                run.append(id)
        if run:
            parts.append(self._decode_run(run))
        return " ".join(parts)

    def _decode_run(self, ids: list[int]) -> str:
        """Text of ids without added tokens; a blank precedes the text before each special token, as in the original."""
        text, start, after_special = "", 0, False
        for i, id in enumerate(ids):
            if id in self._special:
                if i and not after_special:
                    text += " "
                text += self._decode_pieces(ids[start:i], first=start == 0) + self._special[id]
                start, after_special = i + 1, True
            else:
                if i == 1 and after_special and not self._strips_added_tokens and not self._begins_word(id):
                    text += " "
                after_special = False
        return text + self._decode_pieces(ids[start:], first=start == 0)

    def _begins_word(self, id: int) -> bool:
        return self._sp.id_to_piece(id).startswith(_WORD_START)

    def _decode_pieces(self, ids: list[int], first: bool) -> str:
        """Text without special tokens. first: it begins a run, whose first blank transformers 4.44 takes away."""
        if not ids or self._strips_added_tokens or not (first and self._begins_word(ids[0])):
            return self._sp.decode(ids)
        pieces = [self._sp.id_to_piece(id) for id in ids]
        return self._sp.decode([pieces[0].removeprefix(_WORD_START), *pieces[1:]])

    @classmethod
    def from_directory(cls, directory: Path, add: Sequence[str] = ()) -> "LisaTokenizer":
        """Reads tokenizer.model, tokenizer_config.json and, if there, added_tokens.json and special_tokens_map.json.

        add: tokens that are added, in this order, where they lack.

        Raises CheckpointError naming the file that is missing or damaged.
        """
        directory = Path(directory)
        _check_vocabulary_file(directory)
        config = read_json(directory / "tokenizer_config.json")
        _check_options(config, directory / "tokenizer_config.json")
        special_map = read_json(directory / "special_tokens_map.json", optional=True)
        added = read_json(directory / "added_tokens.json", optional=True)
        model, processor = _read_model(directory / "tokenizer.model")
        size = processor.vocab_size()
        for text, id in _added_tokens(config, directory).items():
            if id >= size:
                added.setdefault(text, id)
        special = [
            _special_token(name, id, special_map.get(name, config.get(name)), name in special_map, directory)
            for name, id in (
                ("unk_token", processor.unk_id()),
                ("bos_token", processor.bos_id()),
                ("eos_token", processor.eos_id()),
            )
        ]
        added = {text: id for text, id in added.items() if text not in {token.text for token in special}}
        tokenizer = cls(model, special, added).with_tokens(add)
        tokenizer._check(directory, size)
        return tokenizer

    def _check(self, directory: Path, size: int) -> None:
        if -1 in (self.bos_id, self.eos_id, self.unk_id):
            raise CheckpointError(f"{directory / 'tokenizer.model'} lacks one of the tokens <unk>, <s>, </s>")
        owners: dict[int, str] = {}
        for text, id in self.added.items():
            if not isinstance(id, int) or id < size:
                raise CheckpointError(
                    f"{directory / 'added_tokens.json'}: {text} has id {id}; ids below {size} belong to tokenizer.model"
                )
            if owners.setdefault(id, text) != text:
                raise CheckpointError(
                    f"{directory / 'added_tokens.json'}: {owners[id]} and {text} have one id, {id}; each has its own"
                )
        if "" in self.added or len(set(self._special.values())) < len(self._special):
            raise CheckpointError(f"{directory}: each special and added token must have a text, and one of its own")
        _ = self.seg_id


def _check_vocabulary_file(directory: Path) -> None:
    """tokenizer.json holds the same vocabulary for a tokenizer that gives other ids for the same text."""
    if not (directory / "tokenizer.model").exists() and (directory / "tokenizer.json").is_file():
        raise CheckpointError(
            f"{directory / 'tokenizer.model'} is missing; tokenizer.json beside it is not read, it splits text "
            "otherwise than in LISA's training. Copy tokenizer.model from the language model that the checkpoint was "
            "made from (the same file in all of LLaMA 1 and 2, Vicuna and LLaVA up to 1.5), as liuhaotian/llava-v1.5-7b"
        )


def _check_options(config: Mapping[str, object], path: Path) -> None:
    """Options of a LlamaTokenizer under which other ids would have been trained. Raises CheckpointError."""
    for key, expected in (("add_bos_token", True), ("add_eos_token", False), ("add_prefix_space", True)):
        if config.get(key, expected) not in (expected, None):
            raise CheckpointError(f"{path}: `{key}` is {config[key]!r}; only {expected!r} is supported")
    if config.get("sp_model_kwargs"):
        raise CheckpointError(f"{path}: `sp_model_kwargs` is {config['sp_model_kwargs']!r}; only {{}} is supported")
    if config.get("legacy") is False:
        _LOG.warning("%s: `legacy` false is not followed, text is split as in LISA's own training (legacy true)", path)


def _read_model(path: Path) -> tuple[bytes, sentencepiece.SentencePieceProcessor]:
    refuse_pointer(path)
    try:
        model = path.read_bytes()
        if not model:
            raise CheckpointError(f"{path} is empty: download or copy it again")
        return model, sentencepiece.SentencePieceProcessor(model_proto=model)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: it holds the vocabulary of the checkpoint") from error
    except (RuntimeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not a sentencepiece model: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _added_tokens(config: dict, directory: Path) -> dict[str, int]:
    """Added tokens where newer libraries keep them, in tokenizer_config.json."""
    entries = config.get("added_tokens_decoder") or {}
    try:
        return {_text(entry): int(id) for id, entry in entries.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{directory / 'tokenizer_config.json'}: added_tokens_decoder is not a table of ids and tokens: {error}"
        ) from error


def _special_token(name: str, id: int, entry: object, from_map: bool, directory: Path) -> FixedToken:
    """A plain string in special_tokens_map.json was an added token without options to transformers 4.31: stripped."""
    try:
        default = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}[name]
        text = _text(entry or default) or default
        if isinstance(entry, dict):
            return FixedToken(text, id, bool(entry.get("lstrip")), bool(entry.get("rstrip")))
        return FixedToken(text, id, from_map, from_map)
    except TypeError as error:
        file = "special_tokens_map.json" if from_map else "tokenizer_config.json"
        raise CheckpointError(f"{directory / file}: {name} is no token: {error}") from error


def _text(entry: object) -> str:
    text = entry.get("content") if isinstance(entry, dict) else entry
    if not isinstance(text, str):
        raise TypeError(f"its text is {text!r}")
    return text
