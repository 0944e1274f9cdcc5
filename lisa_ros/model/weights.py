"""Weight files of a checkpoint: safetensors or torch files, in one piece or in shards. No file may run code."""

import json
import pickle
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lisa_ros.errors import CheckpointError
from lisa_ros.model.files import refuse_pointer
from lisa_ros.model.memory import is_out_of_memory

# In the order of preference: one file, or an index that names the shards.
_LAYOUTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_INDEX = ".index.json"
_LEFT_OUT = ("rotary_emb.inv_freq", "embeddings.position_ids")
_WEIGHT_FILE = re.compile(r"(model|pytorch_model)(-\d+-of-\d+)?\.(safetensors|bin)(\.index\.json)?")


# What torch raises for files that are not whole: its unpickler checks little of what it reads.
_DAMAGE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, OSError, LookupError, ValueError),
    *(AssertionError, AttributeError, TypeError, struct.error),
)


def read_weights(directory: Path) -> dict[str, Tensor]:
    """All tensors of the checkpoint, on the CPU, mapped from disk where the format allows.

    Several layouts in one folder must hold the same: which one is the newer nobody can know.
    Raises CheckpointError naming the file that is missing, truncated, or holds code, or the two that differ.
    """
    directory = Path(directory)
    layouts = _layouts(directory)
    if not layouts:
        raise CheckpointError(f"{directory} holds no weights: none of {', '.join(_LAYOUTS)} is there")
    _refuse_strays(directory, layouts)
    weights = _read_layout(directory / layouts[0])
    for other in layouts[1:]:
        if differing := differences(weights, _read_layout(directory / other)):
            raise CheckpointError(
                f"{directory} holds two sets of weights that differ, {layouts[0]} and {other}, in {len(differing)} "
                f"weights, {differing[0]} among them. Move the older one, with its shards, to another folder"
            )
    return weights


def check_layouts(directory: Path) -> None:
    """Raises CheckpointError where another library would choose between two sets of weights that differ."""
    layouts = _layouts(Path(directory))
    if len(layouts) > 1:
        read_weights(directory)
    elif layouts:
        _refuse_strays(Path(directory), layouts)


def weight_files(directory: Path) -> list[str]:
    """Names of all files with weights of a network in a folder, indexes among them; [] where there is none."""
    directory = Path(directory)
    if not directory.is_dir():
        return []
    return sorted(path.name for path in directory.iterdir() if _WEIGHT_FILE.fullmatch(path.name))


def _layouts(directory: Path) -> list[str]:
    """The layouts that are there. An index without any of its shards, as a partial download leaves it, is none."""
    found = [name for name in _LAYOUTS if (directory / name).is_file()]
    whole = [
        name
        for name in found
        if not name.endswith(_INDEX) or any((directory / shard).is_file() for shard in _shard_names(directory / name))
    ]
    return whole or found


def _refuse_strays(directory: Path, layouts: Sequence[str]) -> None:
    named = set(_LAYOUTS)
    for name in layouts:
        if name.endswith(_INDEX):
            named |= set(_shard_names(directory / name))
    if strays := [name for name in weight_files(directory) if name not in named]:
        raise CheckpointError(
            f"{directory} holds {len(strays)} shards that no index names, as {strays[0]}. "
            f"They are of another saving than {layouts[0]}; move them to another folder, or bring their index back"
        )


def differences(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[str]:
    """Keys of weights that are not the same, byte by byte, in two state dicts.

    Not counted: what libraries leave out when they save, LLaMA's rotary frequencies, CLIP's numbers of positions and a
    tied head's second copy.
    """
    found = []
    for key in sorted({*first, *second}):
        if key in first and key in second:
            if not _equal(first[key], second[key]):
                found.append(key)
        elif not key.endswith(_LEFT_OUT) and not _is_tied_copy(key, first if key in first else second):
            found.append(key)
    return found


def _is_tied_copy(key: str, weights: Mapping[str, Tensor]) -> bool:
    embedding = weights.get("model.embed_tokens.weight")
    return key == "lm_head.weight" and embedding is not None and _equal(weights[key], embedding)


def _equal(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    return torch.equal(*(value.contiguous().view(-1).view(torch.uint8) for value in (first, second)))


def _read_layout(path: Path) -> dict[str, Tensor]:
    return _read_shards(path) if path.name.endswith(_INDEX) else read_weight_file(path)


def _shard_names(index: Path) -> list[str]:
    return sorted(set(_weight_map(index).values()))


def _weight_map(index: Path) -> dict[str, str]:
    refuse_pointer(index)
    try:
        files = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(files.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is not an index of shards: {error!r}") from error
    if not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{index} is not an index of shards: {names[0]!r} is no file's name")
    return files


def _read_shards(index: Path) -> dict[str, Tensor]:
    files = _weight_map(index)
    names = sorted(set(files.values()))
    absent = [name for name in names if Path(name).name != name or not (index.parent / name).is_file()]
    if absent:
        raise CheckpointError(
            f"{index} names {len(names)} shards, {len(absent)} are missing: {', '.join(absent[:3])}. "
            "The checkpoint is not complete; download or copy it again"
        )
    weights: dict[str, Tensor] = {}
    for name in names:
        shard = read_weight_file(index.parent / name)
        lacking = [key for key, file in files.items() if file == name and key not in shard]
        if lacking:
            raise CheckpointError(
                f"{index.parent / name} lacks {len(lacking)} weights that {index.name} places there: {lacking[0]}"
            )
        # A shard may hold a weight that the index places in another one, as a copy from an earlier saving does.
        weights |= {key: value for key, value in shard.items() if files.get(key, name) == name}
    return weights


def read_weight_file(path: Path, part: str | None = None) -> dict[str, Tensor]:
    """All tensors of one safetensors or torch file; see `read_weights` for errors. part: key of a dict in the file."""
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}")
    refuse_pointer(path)
    weights = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if part is not None:
        if not isinstance(weights, Mapping) or part not in weights:
            raise CheckpointError(f"{path} has no {part!r}: it is not what DeepSpeed saved of a run")
        weights = weights[part]
    if not isinstance(weights, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()
    ):
        raise CheckpointError(f"{path} is not a state dict: it must map names to tensors")
    return dict(weights)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or truncated: {error}. Download or copy it again") from error


def _read_torch(path: Path) -> object:
    # Zip archives, torch's format since 1.6, can be mapped. A truncated one has lost its directory at the end.
    try:
        with open(path, "rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except _DAMAGE as error:
        if is_out_of_memory(error):  # the file is whole; memory_guard says what to do
            raise
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and foreign:
            raise CheckpointError(
                f"{path} holds code or objects besides tensors ({foreign[1]}) and is not loaded. "
                "Save its state dict alone, best as safetensors"
            ) from error
        raise CheckpointError(
            f"{path} is damaged or truncated, or no file of torch ({type(error).__name__}). Download or copy it again"
        ) from error


def check_finite(weights: Mapping[str, Tensor], source: object) -> None:
    """Raises CheckpointError naming weights that hold NaN or an infinity: every answer would come of them."""
    spoilt = [key for key, value in weights.items() if not _is_finite(value)]
    if spoilt:
        raise CheckpointError(
            f"{source}: {len(spoilt)} weights hold values that are not finite, {', '.join(spoilt[:3])} among them; the "
            "file is damaged, or was saved by a training that had failed. Download or copy it again"
        )


def _is_finite(value: Tensor) -> bool:
    if not value.is_floating_point() or not value.numel():
        return True
    return all(bool(torch.isfinite(end)) for end in value.aminmax())  # one pass; NaN is kept by both ends


def check_weights(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], ignored: Iterable[str], directory: Path
) -> None:
    """Raises one CheckpointError that lists all that does not fit; weights in `ignored` may be there."""
    missing = sorted(set(expected) - set(found))
    unexpected = sorted(set(found) - set(expected) - set(ignored))
    shapes = [
        f"{key} is {tuple(found[key].shape)}, expected {tuple(value.shape)}"
        for key, value in expected.items()
        if key in found and found[key].shape != value.shape
    ]
    types = [
        f"{key} is {found[key].dtype}, expected {'floating-point' if value.is_floating_point() else 'whole'} numbers"
        for key, value in expected.items()
        if key in found and found[key].is_floating_point() != value.is_floating_point()
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of wrong shape": shapes, "of wrong type": types}
    problems = [
        f"{len(keys)} {problem}: {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"
        for problem, keys in kinds.items()
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"the weights in {directory} do not fit its config.json: {'; '.join(problems)}. "
            "Use the config.json that the weights were saved with; for Segment Anything's sizes give sam={...}"
        )
