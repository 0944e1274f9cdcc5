"""Checkpoint directories in the published layout: found, checked, loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.config import LisaConfig, parse_config, read_config
from lisa_ros.model.config_keys import check_token_ids
from lisa_ros.model.dinov2_files import with_dinov2
from lisa_ros.model.files import expand_home
from lisa_ros.model.hub import HubError, download
from lisa_ros.model.mask2former import Mask2FormerSizes
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.prompts import IM_END, IM_START
from lisa_ros.model.proposal_config import ProposalHeadConfig, infer_proposal_head
from lisa_ros.model.sam_config import SamConfig, infer_sam_config
from lisa_ros.model.styles import Style, get_style, recognise
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.model.vision import ClipTower
from lisa_ros.model.weight_types import SAM, cast_weight
from lisa_ros.model.weights import check_finite, check_weights, read_weights

_PROJECTOR = "model.mm_projector."


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: the network in eval mode on the CPU, its tokenizer, and the directory it came from."""

    network: LisaNetwork
    tokenizer: LisaTokenizer
    directory: Path


def packaged_names() -> list[str]:
    """Names of the models that are shipped inside the package."""
    assets = resources.files("lisa_ros") / "assets"
    return sorted(entry.name for entry in assets.iterdir() if entry.is_dir()) if assets.is_dir() else []


def find(source: str | Path) -> Path:
    """Directory of a checkpoint given by packaged name, path or hub id (downloaded on first use).

    Raises CheckpointError if it is none of them.
    """
    if str(source) in packaged_names():
        return Path(str(resources.files("lisa_ros") / "assets" / str(source)))
    source = expand_home(source)
    try:
        if Path(source).is_file():
            raise CheckpointError(
                f"{source} is a file; give the checkpoint's directory, or with un-merged weights base= and style="
            )
        if Path(source).is_dir():
            return Path(source)
        return Path(download(source))
    except (OSError, HubError) as error:
        raise CheckpointError(
            f"checkpoint {str(source)!r} is neither a directory nor a packaged model "
            f"({', '.join(packaged_names()) or 'none is installed'}), and the hub did not give it: {error}"
        ) from error


def load(
    source: str | Path,
    *,
    vision_tower: str | Path | None = None,
    sam: Mapping[str, object] | None = None,
    conv_type: str | None = None,
    style: str | None = None,
    proposal_head: Mapping[str, object] | None = None,
    dinov2: str | Path | None = None,
    dtype: torch.dtype | None = torch.float32,
) -> Checkpoint:
    """Loads a checkpoint in the published layout onto the CPU.

    vision_tower: path or hub name of the CLIP tower, in place of what config.json says.
    sam: sizes of the Segment Anything part that shapes do not tell (decoder_heads), or all of them.
    conv_type: name of the prompt template, in place of what config.json says.
    style: name of the style, in place of what the files tell, see `styles.recognise`.
    proposal_head: of LLM-Seg, sizes and rules that neither shapes nor config.json tell, see `ProposalHeadConfig`.
    dinov2: of LLM-Seg, file of DINOv2's weights where the checkpoint does not hold them.
    dtype: floating-point type of the weights, see `cast_weight`; None leaves them as they are stored and mapped from
    the files, for who casts them one after the other.
    Raises CheckpointError naming the file or key, and what to do.
    """
    directory = find(source)
    values = read_config(directory / "config.json")
    tokenizer = LisaTokenizer.from_directory(directory)
    weights = read_weights(directory)
    return assemble(
        values, weights, tokenizer, directory,
        vision_tower=vision_tower, sam=sam, conv_type=conv_type, style=style,
        proposal_head=proposal_head, dinov2=dinov2, dtype=dtype,
    )  # fmt: skip


def assemble(
    values: dict[str, object],
    weights: Mapping[str, Tensor],
    tokenizer: LisaTokenizer,
    directory: Path,
    *,
    source: Path | None = None,
    vision_tower: str | Path | None = None,
    sam: Mapping[str, object] | None = None,
    conv_type: str | None = None,
    style: str | None = None,
    proposal_head: Mapping[str, object] | None = None,
    dinov2: str | Path | None = None,
    dtype: torch.dtype | None = torch.float32,
) -> Checkpoint:
    """The network of config.json's `values` and of weights with the published keys; the rest as for `load`.

    directory: of the tokenizer's files. source: of config.json and the weights, for messages, if it is another one.
    """
    source = source or directory
    if {IM_START, IM_END} <= tokenizer.added.keys():
        # a LISA that has the tokens was trained with them, whatever its base says
        values = {**values, "mm_use_im_start_end": True}
    found = _style_of(values, tokenizer, style, source, weights)
    values = {"conv_type": found.conv_type, **values, "style": found.name}
    if not found.strips_added_tokens:
        tokenizer = tokenizer.with_tokens((), strips_added_tokens=False)
    if found.chooses:
        weights = with_dinov2(weights, source, dinov2)
    config = _complete_config(values, weights, source, vision_tower, sam, conv_type, proposal_head)
    _check_vocabulary(tokenizer, config, directory)
    check_token_ids(directory, values, tokenizer.bos_id, tokenizer.eos_id)
    tower = None if config.shares_image_encoder else _load_tower(config)
    if tower is not None and tower.adopt(weights, source, tuned=_says_tuned(values)):
        config = replace(config, unfreeze_mm_vision_tower=True)
    with torch.device("meta"):
        network = LisaNetwork(config)
    expected = network.state_dict()
    ignored = [key for key in weights if key.endswith("rotary_emb.inv_freq")]
    if tower is not None:
        ignored += [key for key in weights if key.startswith("model.vision_tower.")]
    if config.tie_word_embeddings:
        del expected["lm_head.weight"]
        ignored.append("lm_head.weight")
        _check_tied_head(weights, source)
    check_weights(weights, expected, ignored, source)
    check_finite({key: weights[key] for key in expected}, source)
    cast = {key: weights[key] for key in expected}
    if dtype is not None:
        cast = {key: cast_weight(key, value, config, dtype, source) for key, value in cast.items()}
    network.load_state_dict(cast, strict=not config.tie_word_embeddings, assign=True)
    if config.tie_word_embeddings:
        network.lm_head.weight = network.model.embed_tokens.weight
    network.model.rotary_emb = LlamaRotaryEmbedding(network.model.config)  # its frequencies are in no checkpoint
    if tower is not None:
        network.vision_tower = tower if dtype is None else tower.to(dtype)
    return Checkpoint(network.eval(), tokenizer, directory)


def _style_of(
    values: Mapping[str, object],
    tokenizer: LisaTokenizer,
    name: str | None,
    source: Path,
    weights: Mapping[str, Tensor],
) -> Style:
    """The style, whose tokens the tokenizer has. Raises CheckpointError."""
    try:
        style = get_style(name) if name else recognise(values, tokenizer.added, source, weights)
    except ConfigurationError as error:
        if name:
            raise
        raise CheckpointError(f"{source / 'config.json'}: {error}") from error
    style.kinds(tokenizer)
    return style


def _complete_config(
    values: dict[str, object],
    weights: Mapping[str, Tensor],
    directory: Path,
    vision_tower: str | Path | None,
    sam: Mapping[str, object] | None,
    conv_type: str | None,
    proposal_head: Mapping[str, object] | None,
) -> LisaConfig:
    """Config of the file, completed from the weights where published files are silent."""
    path = directory / "config.json"
    adapters = [key for key in weights if key.startswith("base_model.") or ".lora_" in key]
    if adapters:
        raise CheckpointError(
            f"{directory} holds an adapter that is not merged into its base model ({adapters[0]}); merge it first"
        )
    sam_config = _mask_part(values, weights, sam, path)
    if "mm_projector_type" not in values and f"{_PROJECTOR}0.weight" in weights:
        values["mm_projector_type"] = "mlp2x_gelu"
    first = weights.get(f"{_PROJECTOR}weight", weights.get(f"{_PROJECTOR}0.weight"))
    if "mm_hidden_size" not in values and first is not None:
        values["mm_hidden_size"] = first.shape[1]
    head = _proposal_head(values, weights, proposal_head, path) if get_style(values["style"]).chooses else None
    return parse_config(values, sam_config, path, conv_type=conv_type, vision_tower=vision_tower, proposal_head=head)


def _proposal_head(
    values: Mapping[str, object], weights: Mapping[str, Tensor], given: Mapping[str, object] | None, path: Path
) -> ProposalHeadConfig:
    """What config.json says, else what the shapes tell; `given` stands above both."""
    stored = values.get("proposal_head")
    if stored is not None and not isinstance(stored, Mapping):
        raise CheckpointError(f"{path}: proposal_head is {stored!r}; it must be a table of names and values")
    return infer_proposal_head(weights, {**(stored or {}), **(given or {})})


def _mask_part(
    values: Mapping[str, object], weights: Mapping[str, Tensor], sam: Mapping[str, object] | None, path: Path
) -> SamConfig | Mask2FormerSizes:
    """What decodes masks: config.json says a Mask2Former, or Segment Anything's sizes, or nothing."""
    stored = values.get("sam")
    if (other := values.get("mask2former")) is not None:
        if stored or sam:
            raise CheckpointError(f"{path} is of a Mask2Former; Segment Anything's sizes mean nothing to it")
        try:
            return Mask2FormerSizes.from_dict(other)
        except ConfigurationError as error:
            raise CheckpointError(f"{path}: {error}") from error
    if stored is not None:
        return _stored_sam_config(stored, sam, path)
    return infer_sam_config({k.removeprefix(SAM): v for k, v in weights.items() if k.startswith(SAM)}, sam)


def _stored_sam_config(stored: object, overrides: Mapping[str, object] | None, path: Path) -> SamConfig:
    try:
        config = SamConfig.from_dict(stored)
    except ConfigurationError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return SamConfig.from_dict({**config.to_dict(), **overrides}) if overrides else config


def _check_tied_head(weights: Mapping[str, Tensor], directory: Path) -> None:
    head, embedding = weights.get("lm_head.weight"), weights.get("model.embed_tokens.weight")
    if head is not None and embedding is not None and not torch.equal(head, embedding):
        raise CheckpointError(
            f"{directory}: config.json says tie_word_embeddings, but the weights hold an lm_head.weight that is not "
            "model.embed_tokens.weight; set it to false"
        )


def _check_vocabulary(tokenizer: LisaTokenizer, config: LisaConfig, directory: Path) -> None:
    if len(tokenizer) > config.vocab_size:
        raise CheckpointError(
            f"{directory}: the tokenizer has {len(tokenizer)} tokens, the network only {config.vocab_size} (vocab_size)"
        )
    for token in (IM_START, IM_END) if config.mm_use_im_start_end else ():
        if token not in tokenizer.added:
            raise CheckpointError(f"{directory / 'added_tokens.json'} lacks {token}, which mm_use_im_start_end needs")


def _says_tuned(values: Mapping[str, object]) -> bool:
    """Whether config.json says that the vision tower was trained: LLaVA's key, or that of LLaVA-NeXT."""
    return bool(values.get("unfreeze_mm_vision_tower")) or "mm_vision_tower" in str(values.get("mm_tunable_parts"))


def _load_tower(config: LisaConfig) -> ClipTower:
    tower = ClipTower.from_pretrained(config.vision_tower, config.mm_vision_select_layer)
    if tower.hidden_size != config.mm_hidden_size:
        raise CheckpointError(
            f"vision tower {config.vision_tower!r} gives tokens of width {tower.hidden_size}, the projector "
            f"takes {config.mm_hidden_size} (mm_hidden_size); give the right one with vision_tower=PATH"
        )
    return tower
