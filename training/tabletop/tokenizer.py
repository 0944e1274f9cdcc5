"""Trains the small model's tokenizer and writes it in the file layout of the published checkpoints."""

import io
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.saving import TOKENIZER_FILES

ADDED_TOKENS = ("[SEG]", "<im_start>", "<im_end>")


def write_tokenizer(texts: Iterable[str], vocab_size: int, out: Path) -> None:
    """Trains a BPE with byte fallback on `texts` and writes tokenizer.model and its three JSON files to `out`.

    The added tokens follow the vocabulary in the published order: `[SEG]`, `<im_start>`, `<im_end>`.
    Raises ConfigurationError if the texts cannot give a vocabulary of that size.
    """
    model = _train(texts, vocab_size)
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.model").write_bytes(model)
    files = {
        "added_tokens.json": {token: vocab_size + i for i, token in enumerate(ADDED_TOKENS)},
        "special_tokens_map.json": {
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "<unk>",
        },
        "tokenizer_config.json": {
            "tokenizer_class": "LlamaTokenizer",
            "add_bos_token": True,
            "add_eos_token": False,
            "legacy": True,
            "model_max_length": 512,
            "padding_side": "right",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
        },
    }
    for name, content in files.items():
        (out / name).write_text(json.dumps(content, indent=2) + "\n")


def copy_tokenizer(base: Path, out: Path) -> None:
    """Copies a checkpoint's tokenizer to `out`, unless one is there."""
    if not (out / "tokenizer.model").exists():
        out.mkdir(parents=True, exist_ok=True)
        for name in TOKENIZER_FILES:
            shutil.copyfile(base / name, out / name)


def _train(texts: Iterable[str], vocab_size: int) -> bytes:
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=vocab_size,
            model_type="bpe",
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=True,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            num_threads=1,
            minloglevel=1,
        )
    except RuntimeError as error:  # raised by sentencepiece; its last sentence names the limit
        raise ConfigurationError(f"model.vocab_size is {vocab_size}: {error}") from error
    return model.getvalue()
