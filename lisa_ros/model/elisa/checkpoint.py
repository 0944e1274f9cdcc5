"""ELISA's checkpoints: the folder that its training writes, found, checked, loaded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub.errors import HFValidationError
from torch import Tensor
from transformers import AutoConfig, LlavaConfig, LlavaForConditionalGeneration

from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.elisa.adapter import make_adapter
from lisa_ros.model.elisa.alphaclip import ALPHACLIP_FILE, AlphaClipTower, load_alphaclip
from lisa_ros.model.elisa.files import EMBEDDING_SIZE, MEAN_FILE, SETTINGS_FILE, ElisaFiles, read_settings
from lisa_ros.model.elisa.network import ElisaNetwork
from lisa_ros.model.elisa.tokenizer import ElisaTokenizer
from lisa_ros.model.files import expand_home, read_json
from lisa_ros.model.hub import HubError, download
from lisa_ros.model.preprocess import ClipPreprocessor
from lisa_ros.model.proposals import ProposalOptions
from lisa_ros.model.vision import quiet
from lisa_ros.model.weights import check_finite, check_weights, read_weight_file

ALPHA_PER_RANK = 2  # LoRA's alpha is twice its rank
_CANDIDATES, _POINTS_PER_SIDE = 20, 50
_LLAVA = "llava_model.llava_model.base_model.model."
_ADAPTERS = ("adapter.", "head_adapter.")
_QUANTIZED = re.compile(r"\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..+)$")
_LORA = re.compile(r"(.+)\.lora_([AB])\.[^.]+\.weight")
# What transformers 4 called parts that have other names today; the first one that fits is taken.
_RENAMED = (
    ("language_model.model.", ("model.language_model.",)),
    ("language_model.lm_head.", ("lm_head.",)),
    ("vision_tower.vision_model.", ("model.vision_tower.", "model.vision_tower.vision_model.")),
    ("multi_modal_projector.", ("model.multi_modal_projector.",)),
)


@dataclass(frozen=True)
class ElisaCheckpoint:
    """A loaded ELISA, in eval mode on the CPU.

    Attributes:
        network: The LLaVA, LoRA merged, with its adapter.
        tokenizer: Of the base, with words for masks.
        preprocess: Of the image for the LLaVA.
        tower: AlphaCLIP.
        directory: Where it came from.
        values: Constructor arguments.
    """

    network: ElisaNetwork
    tokenizer: ElisaTokenizer
    preprocess: ClipPreprocessor
    tower: AlphaClipTower
    directory: Path
    values: Mapping[str, object]


def load_elisa(
    files: ElisaFiles,
    *,
    base: str | Path | None = None,
    alphaclip: str | Path | None = None,
    closed: bool = True,
    dtype: torch.dtype = torch.float32,
) -> ElisaCheckpoint:
    """Loads an ELISA onto the CPU.

    Args:
        files: What `find_elisa` returned.
        base: Directory or hub name of the LLaVA that training began with; None for the one that the JSON file names.
        alphaclip: AlphaCLIP's file or its folder; None for the place that config.yaml names, or `alphaclip`.
        closed: See ElisaNetwork.
        dtype: Of the LLaVA; adapter and AlphaCLIP stay float32.

    Returns:
        The checkpoint, LoRA merged into its layers.

    Raises:
        CheckpointError: A file is missing, damaged or of another kind; the message names it and says what to do.
    """
    tower = load_alphaclip(alphaclip or files.root / _alphaclip_place(files.root))
    directory = base_directory(files, base)
    tokenizer = ElisaTokenizer.from_directory(directory, files.values.get("end_turn_token"))
    weights = read_weight_file(files.weights)
    network = build_network(directory, files, tokenizer, weights, closed=closed)
    merge_lora(network.llava, weights)
    network.llava.to(dtype)
    preprocess = ClipPreprocessor.from_directory(directory, network.llava.config.vision_config.image_size)
    if tower.embedding_dim != len(network.adapter.mean):
        raise CheckpointError(
            f"{files.weights} takes embeddings of {len(network.adapter.mean)} numbers, AlphaCLIP's file gives "
            f"{tower.embedding_dim}; it was trained with another one than {ALPHACLIP_FILE}"
        )
    return ElisaCheckpoint(network.eval(), tokenizer, preprocess, tower, files.root, files.values)


def build_network(
    directory: Path, files: ElisaFiles, tokenizer: ElisaTokenizer, weights: Mapping[str, Tensor], *, closed: bool
) -> ElisaNetwork:
    """The network without its LoRA, in float32. weights: of the .pth file. Raises CheckpointError."""
    check_finite(weights, files.weights)
    config = read_llava_config(directory)
    if any(map(_QUANTIZED.search, weights)) or not _base_weights(weights):
        llava = load_llava(directory)  # of a 4-bit base, whose own files are the exact weights
    else:
        with quiet():
            llava = LlavaForConditionalGeneration(config)
        expected = llava.state_dict()
        plain = {_today(key, expected): value for key, value in _base_weights(weights).items()}
        check_weights(plain, expected, [], files.weights)
        llava.load_state_dict(plain)
    width, size = config.text_config.hidden_size, int(files.values[EMBEDDING_SIZE])
    parts = {}
    for prefix in _ADAPTERS:
        own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        if own or prefix == "adapter.":
            part = make_adapter(files.values, size, width, files.weights.with_suffix(".json"))
            check_weights(own, part.state_dict(), [], files.weights)
            part.load_state_dict(own)
            part.mean = _mean(files, size)
            parts[prefix] = part
    return ElisaNetwork(
        llava,
        parts["adapter."],
        image_id=tokenizer.image_id,
        first_candidate=tokenizer.first_candidate,
        head_adapter=parts.get("head_adapter."),
        closed=closed,
    )


def merge_lora(llava: LlavaForConditionalGeneration, weights: Mapping[str, Tensor]) -> None:
    """Adds the LoRA of an un-merged checkpoint to the layers it belongs to, in place."""
    layers = llava.state_dict()
    with torch.no_grad():
        for name, (a, b) in lora_weights(weights, layers).items():
            layers[f"{name}.weight"] += (ALPHA_PER_RANK * (b.float() @ a.float())).to(layers[f"{name}.weight"])


def lora_weights(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Layer's name as today's transformers have it -> its LoRA's A (r, in) and B (out, r)."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in weights.items():
        if match := _LORA.fullmatch(key.removeprefix(_LLAVA)):
            name = _today(f"{match[1]}.weight", expected).removesuffix(".weight")
            found.setdefault(name, {})[match[2]] = value
    return {name: (parts["A"], parts["B"]) for name, parts in found.items()}


def _base_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key.removeprefix(_LLAVA).replace(".base_layer.", "."): value
        for key, value in weights.items()
        if key.startswith(_LLAVA) and ".lora_" not in key
    }


def _today(key: str, expected: Mapping[str, Tensor]) -> str:
    for old, new in _RENAMED:
        if key.startswith(old):
            names = [name + key.removeprefix(old) for name in new]
            return next((name for name in names if name in expected), names[0])
    return key


def official_key(name: str) -> str:
    """A parameter's name of today's LLaVA in an ELISA's .pth file."""
    for old, new in _RENAMED:
        for one in sorted(new, key=len, reverse=True):
            if name.startswith(one):
                return _LLAVA + old + name.removeprefix(one)
    return _LLAVA + name


def base_directory(files: ElisaFiles, base: str | Path | None = None) -> Path:
    """Directory of the LLaVA that training began with. Raises CheckpointError."""
    name = expand_home(base or str(files.values.get("model_name", "")))
    for path in (Path(name), files.root / name):
        if name and path.is_dir():
            return path
    try:
        return Path(download(name))
    except HubError as error:
        raise CheckpointError(
            f"the LLaVA {name!r} that {files.weights} was trained on is neither a folder, here or in {files.root}, nor "
            f"did the hub give it: {error}; give its directory with base=PATH (--base PATH)"
        ) from error


def read_llava_config(directory: Path) -> LlavaConfig:
    """config.json of a LLaVA in transformers' layout. Raises CheckpointError."""
    values = read_json(directory / "config.json")
    if values.get("model_type") != "llava":
        raise CheckpointError(f"{directory} is a {values.get('model_type')!r}, not a llava in transformers' layout")
    try:
        with quiet():
            return AutoConfig.from_pretrained(str(directory), trust_remote_code=False)
    except (OSError, ValueError, TypeError, HFValidationError) as error:
        raise CheckpointError(f"{directory / 'config.json'} cannot be read: {error}") from error


def load_llava(directory: Path) -> LlavaForConditionalGeneration:
    """A LLaVA in transformers' layout with its weights, in float32. Raises CheckpointError."""
    try:
        with quiet():
            llava, report = LlavaForConditionalGeneration.from_pretrained(
                str(directory), dtype=torch.float32, output_loading_info=True, trust_remote_code=False
            )
    except (OSError, ValueError, RuntimeError, HFValidationError) as error:
        raise CheckpointError(f"{directory} holds no LLaVA that can be loaded: {error}") from error
    if report["missing_keys"]:
        raise CheckpointError(f"{directory} lacks {len(report['missing_keys'])} weights, {report['missing_keys']}")
    return llava


def _mean(files: ElisaFiles, size: int) -> Tensor:
    """The mean embedding, which is no part of the .pth file."""
    path = files.weights.parent / MEAN_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{path} is missing: the mean of the training set's mask embeddings, which ELISA subtracts. The official "
            f"repository keeps it in llava_finetune/; put it beside {files.weights.name}"
        )
    try:
        mean = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(mean, Tensor) or mean.shape != (size,):
        found = tuple(mean.shape) if isinstance(mean, Tensor) else type(mean).__name__
        raise CheckpointError(f"{path} holds {found}, expected a tensor of {size} numbers")
    return mean.float()


def _alphaclip_place(root: Path) -> str:
    place = read_settings(root, "alphaclip").get("checkpoint_dir")
    return f"{place}/{ALPHACLIP_FILE}" if isinstance(place, str) else f"alphaclip/{ALPHACLIP_FILE}"


def elisa_proposals(root: Path, *, square: bool) -> ProposalOptions:
    """How the candidates of an ELISA are made. square: squashed images, as official. Raises CheckpointError."""
    limit = read_settings(root, "sam").get("n_masks", _CANDIDATES)
    try:
        return ProposalOptions(points_per_side=_POINTS_PER_SIDE, square=square, limit=limit)
    except ConfigurationError as error:
        raise CheckpointError(f"{root / SETTINGS_FILE}: sam.n_masks: {error}") from error
