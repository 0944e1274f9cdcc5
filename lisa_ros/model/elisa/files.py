"""The files of a trained ELISA, as its training lays them out, and what they say beside the weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from lisa_ros.errors import CheckpointError
from lisa_ros.model.files import expand_home, read_json

MODELS_DIR = "models"
MEAN_FILE = "train_embs_mean.pt"
EMBEDDING_SIZE = "seg_emb_size"  # of the JSON file beside the weights, which tells an ELISA
SETTINGS_FILE = "config.yaml"
SAM_FILES = {"vit_b": "sam_vit_b_01ec64.pth", "vit_l": "sam_vit_l_0b3195.pth", "vit_h": "sam_vit_h_4b8939.pth"}


@dataclass(frozen=True)
class ElisaFiles:
    """The files of one trained ELISA.

    Attributes:
        root: Directory that the official code runs in; names of the base and of AlphaCLIP are relative to it.
        weights: The .pth file.
        values: Constructor arguments, of the JSON file beside it.
    """

    root: Path
    weights: Path
    values: Mapping[str, object]


def find_elisa(source: str | Path) -> ElisaFiles | None:
    """The ELISA that a path leads to: its .pth file, or the folder with `models/NAME.pth` and `models/NAME.json`.

    None where the path leads to something else. Raises CheckpointError where a folder holds several.
    """
    path = Path(expand_home(source))
    if path.is_file() and path.suffix == ".pth":
        values = _arguments(path)
        if values is None:
            return None
        root = path.parent.parent if path.parent.name == MODELS_DIR else path.parent
        return ElisaFiles(root, path, values)
    if not (path / MODELS_DIR).is_dir():
        return None
    found = [(one, values) for one in sorted((path / MODELS_DIR).glob("*.pth")) if (values := _arguments(one))]
    if len(found) > 1:
        names = ", ".join(str(one) for one, _ in found)
        raise CheckpointError(f"{path} holds {len(found)} trained ELISAs; give the file of one: {names}")
    return ElisaFiles(path, *found[0]) if found else None


def _arguments(weights: Path) -> Mapping[str, object] | None:
    path = weights.with_suffix(".json")
    values = read_json(path) if path.is_file() else {}
    return values if EMBEDDING_SIZE in values else None


def read_settings(root: Path, section: str) -> Mapping[str, object]:
    """A section of config.yaml, {} where there is none. Raises CheckpointError."""
    path = root / SETTINGS_FILE
    if not path.is_file():
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not valid YAML: {error}") from error
    found = values.get(section) if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}


def sam_file(root: Path) -> Path | None:
    """Segment Anything's file where config.yaml says it is, or in `sam`; None where there is none."""
    settings = read_settings(root, "sam")
    name = settings.get("file") or SAM_FILES.get(settings.get("model"), SAM_FILES["vit_b"])
    path = root / str(settings.get("checkpoint_dir", "sam")) / str(name)
    return path if path.is_file() else None
