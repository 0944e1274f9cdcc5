"""What a run begins with: a LISA checkpoint as it is, or a LLaVA and a Segment Anything joined into a new LISA."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import sentencepiece
import torch
from torch import Tensor

from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.checkpoint import Checkpoint, assemble, find, load
from lisa_ros.model.dinov2 import dinov2_sizes
from lisa_ros.model.dinov2_files import with_dinov2
from lisa_ros.model.files import expand_home, read_json
from lisa_ros.model.layouts import check_layout
from lisa_ros.model.mask2former import read_mask2former
from lisa_ros.model.prompts import IM_END, IM_START
from lisa_ros.model.proposal_config import DINO, ProposalHeadConfig
from lisa_ros.model.proposal_head import PARTS, add_proposal_parts
from lisa_ros.model.saving import TOKENIZER_FILES, write_atomically
from lisa_ros.model.styles import DEFAULT_STYLE, Style, get_style, recognise
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.model.weights import read_weight_file, read_weights
from training.config.sections import ModelConfig

_INITIAL_STD = 0.02  # of new embedding rows, as LLaMA's own initialisation


def load_base(config: ModelConfig, tokenizer_dir: Path, dtype: torch.dtype, seed: int) -> Checkpoint:
    """The network to train, on the CPU. A LISA keeps everything it has learnt, its mask decoder and projection too.

    tokenizer_dir: where a new LISA's tokenizer is written. seed: of the parts that a LLaVA lacks.
    Raises CheckpointError, ConfigurationError.
    """
    directory = find(config.source)
    check_layout({}, directory)
    values = read_json(directory / "config.json", optional=True)
    check_layout(values, directory)
    common = {"vision_tower": config.vision_tower, "sam": config.sam, "conv_type": config.conv_type}
    common |= {"style": config.style, "proposal_head": config.proposal_head, "dinov2": config.dinov2}
    if "train_mask_decoder" in values or not values:
        for key in ("sam_checkpoint", "mask2former"):
            if getattr(config, key):
                raise ConfigurationError(
                    f"model.{key} {getattr(config, key)}: {config.source} is a LISA and keeps its own "
                    "Segment Anything or Mask2Former; remove the key"
                )
        return load(directory, dtype=dtype, **common)
    if bool(config.sam_checkpoint) == bool(config.mask2former):
        raise ConfigurationError(
            f"model.source {config.source} is not a LISA checkpoint; to make one of it give either "
            "model.sam_checkpoint, the file of Segment Anything (sam_vit_h_4b8939.pth), or model.mask2former"
        )
    style = get_style(config.style or DEFAULT_STYLE)
    common["style"] = style.name
    tokenizer = extend_tokenizer(directory, tokenizer_dir, (*style.tokens, IM_START, IM_END))
    llava = read_weights(directory)
    if not any(key.startswith("model.mm_projector.") for key in llava):
        raise CheckpointError(
            f"{directory} has no weights model.mm_projector.*: it is a language model alone, or of another layout than "
            "LLaVA's; give a LLaVA, as liuhaotian/llava-v1.5-7b"
        )
    if config.mask2former:
        sizes, sam = read_mask2former(config.mask2former, config.mask2former_size)
        weights = join(llava, sam, len(tokenizer), seed, width=sizes.prompt_embed_dim)
        values["mask2former"] = sizes.to_dict()
    else:
        sam = read_weight_file(Path(expand_home(config.sam_checkpoint)))
        weights = join(llava, sam, len(tokenizer), seed)
    if style.chooses:
        weights = with_dinov2(weights, directory, config.dinov2)
        weights |= fresh_proposal_parts(weights, config.proposal_head, sam, seed)
    values |= {"vocab_size": len(tokenizer), "train_mask_decoder": True, "mm_use_im_start_end": True}
    if values.get("image_aspect_ratio") == "pad":  # LLaVA-1.5; a LISA sees the square in the middle, whatever its base
        values["image_aspect_ratio"] = "square"
    return assemble(values, weights, tokenizer, tokenizer_dir, source=directory, dtype=dtype, **common)


def style_of(config: ModelConfig) -> Style:
    """The style of the network that `load_base` returns, read without its weights. Raises LisaError."""
    if config.style:
        return get_style(config.style)
    directory = find(config.source)
    values = read_json(directory / "config.json", optional=True)
    if "train_mask_decoder" not in values:
        return get_style(DEFAULT_STYLE)
    return recognise(values, LisaTokenizer.from_directory(directory).added, directory)


def extend_tokenizer(source: Path, out: Path, tokens: Sequence[str]) -> LisaTokenizer:
    """Writes the tokenizer of `source` with `tokens` added, in their order, where they lack, and reads it.

    Raises CheckpointError naming the file that is missing or damaged.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:  # atomically: every process of a run writes the same files
        if (source / name).is_file() and name != "added_tokens.json":
            write_atomically(out / name, lambda path, name=name: shutil.copyfile(source / name, path))
    if not (source / "tokenizer.model").is_file():
        raise CheckpointError(f"{source / 'tokenizer.model'} is missing: it holds the vocabulary of the checkpoint")
    path = source / "added_tokens.json"
    added = read_json(path, optional=True)
    for token, number in added.items():
        if type(number) is not int:
            raise CheckpointError(f"{path}: the id of {token} is {number!r}; it must be a whole number")
    try:
        size = sentencepiece.SentencePieceProcessor(model_file=str(source / "tokenizer.model")).vocab_size()
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"{source / 'tokenizer.model'} is not a sentencepiece model: {error}") from error
    for token in tokens:
        added.setdefault(token, max([size - 1, *added.values()]) + 1)
    text = json.dumps(added, indent=2) + "\n"
    write_atomically(out / "added_tokens.json", lambda path: path.write_text(text, encoding="utf-8"))
    return LisaTokenizer.from_directory(out)


def fresh_proposal_parts(
    weights: Mapping[str, Tensor], given: Mapping[str, object] | None, sam: Mapping[str, Tensor], seed: int
) -> dict[str, Tensor]:
    """New weights of the parts that score proposals, of the published sizes or of those that `given` names."""
    dino = {key.removeprefix(DINO): value for key, value in weights.items() if key.startswith(DINO)}
    sizes = {f"dino_{name}": size for name, size in dinov2_sizes(dino, (given or {}).get("dino_heads")).items()}
    dim = sam["mask_decoder.iou_token.weight"].shape[1]
    config = ProposalHeadConfig.from_dict({"dim": dim, **sizes, **(given or {})})
    parts = torch.nn.Module()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        add_proposal_parts(parts, config)
    return {f"model.{key}": value for key, value in parts.state_dict().items() if key.startswith(PARTS)}


def join(
    llava: Mapping[str, Tensor], sam: Mapping[str, Tensor], vocabulary: int, seed: int, *, width: int | None = None
) -> dict[str, Tensor]:
    """Weights of a new LISA: LLaVA's with rows for the new tokens, SAM's, and a fresh text projection.

    width: of mask prompts, where `sam` is another part than Segment Anything.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = dict(llava)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name not in weights:
            raise CheckpointError(f"the language model's weights lack {name}")
        old = weights[name]
        fresh = torch.randn(max(0, vocabulary - len(old)), old.shape[1], generator=generator) * _INITIAL_STD
        weights[name] = torch.cat([old[:vocabulary], fresh.to(old.dtype)])
    weights |= {f"model.visual_model.{key}": value for key, value in sam.items()}
    try:
        hidden, out = old.shape[1], width or sam["mask_decoder.iou_token.weight"].shape[1]
    except KeyError as error:
        raise CheckpointError(f"the Segment Anything file lacks {error}; give the whole file, as published") from None
    for index, rows in ((0, hidden), (2, out)):
        bound = hidden**-0.5
        for kind, shape in (("weight", (rows, hidden)), ("bias", (rows,))):
            values = torch.empty(shape).uniform_(-bound, bound, generator=generator)
            weights[f"model.text_hidden_fcs.0.{index}.{kind}"] = values
    return weights
