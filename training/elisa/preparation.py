"""Pictures with their truth -> ELISA's records: candidates proposed, freed of copies of the truth, embedded."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lisa_ros.datasets.files import read_json
from lisa_ros.datasets.labelme import shape_mask
from lisa_ros.datasets.reasonseg import ReasonSegDataset, read_shapes
from lisa_ros.errors import ConfigurationError, DatasetError
from lisa_ros.evaluation.candidates.polygons import contours_of
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.images import read_image
from lisa_ros.model.elisa.alphaclip import AlphaClipTower
from lisa_ros.model.elisa.embedding import SQUARE, embed_masks, squash_image, squash_mask
from lisa_ros.model.saving import write_atomically
from lisa_ros.progress import track

_TARGET = "target"  # label of the shapes that are asked for
_COPY_IOU = 0.95


def make_record(
    tower: AlphaClipTower,
    name: str,
    image: np.ndarray,
    truth: Sequence[np.ndarray],
    proposals: Proposals,
    *,
    letterbox: bool,
    masked: bool = False,
) -> dict[str, object]:
    """The record of one picture.

    Args:
        tower: AlphaCLIP.
        name: File name of the picture.
        image: (H, W, 3) uint8 RGB.
        truth: Masks of the targets, each (H, W) bool.
        proposals: Other candidates.
        letterbox: See `embed_masks`.
        masked: See `AlphaClipTower.embed`; only with squashed pictures.

    Returns:
        What a line of the file holds.
    """
    soft = [squash_mask(mask) for mask in truth]
    others = Proposals.from_masks([squash_mask(mask) > 0 for mask in proposals.masks], SQUARE, SQUARE)
    kept = others.without_copies([mask > 0 for mask in soft], _COPY_IOU)
    if letterbox:
        pairs = zip(others.items, proposals.masks, strict=True)
        own = [mask for item, mask in pairs if any(item is one for one in kept.items)]
        embedded = [embed_masks(tower, image, part).tolist() for part in (np.array(truth), np.array(own))]
    else:
        squashed = squash_image(image)
        parts = (soft, list(kept.masks))
        embedded = [tower.embed(squashed, part, masked=masked).tolist() for part in parts]
    return {
        "img": name,
        "gt_embs": embedded[0],
        "sam_embs": embedded[1],
        "gt_shapes": [contours_of(mask > 0) for mask in soft],
        "sam_shapes": [contours_of(mask) for mask in kept.masks],
    }


def pillow_mask(shape: dict, height: int, width: int) -> np.ndarray:
    """(height, width) bool of a labelme polygon as the official preparation fills it: by Pillow, whatever its type.

    `shape_mask` fills as LISA's loader does, which differs by pixels at the edge.
    """
    canvas = Image.new("L", (width, height))
    ImageDraw.Draw(canvas).polygon([tuple(point) for point in shape["points"]], fill=1)
    return np.array(canvas) == 1


def prepare_split(
    root: Path,
    split: str,
    out: Path,
    tower: AlphaClipTower,
    propose: Callable[[np.ndarray], Proposals],
    *,
    letterbox: bool,
    settings: Mapping[str, object] | None = None,
) -> int:
    """Writes the records of a split of ReasonSeg; an image that is in the file already is not done again.

    A last line that an interrupted run did not finish is made anew.

    Args:
        root: Has reason_seg/ReasonSeg.
        split: Of ReasonSeg.
        out: The file to write, one record a line.
        tower: AlphaCLIP.
        propose: Candidates of an image, the largest first.
        letterbox: See `embed_masks`; False draws the truth as the official preparation does.
        settings: What the records are made with beside this, JSON-ready; kept in a file beside `out`.

    Returns:
        The number of records that were added.

    Raises:
        DatasetError: A file of the data set, or `out`, cannot be read or written.
        ConfigurationError: `out` was begun with other settings.
    """
    pairs, done = ReasonSegDataset(root, split).pairs, _records_done(out)
    missing = [pair for pair in pairs if pair[0].name not in done]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _keep_settings(out, {"letterbox": letterbox, **(settings or {})}, begun=bool(done))
        with out.open("a", encoding="utf-8") as file:
            for picture, annotation in track(missing, unit="image", description=f"records of {split}"):
                image = read_image(picture)
                shapes = [shape for shape in read_shapes(annotation) if shape.get("label") == _TARGET]
                draw = shape_mask if letterbox else pillow_mask
                truth = [draw(shape, *image.shape[:2]) for shape in shapes]
                record = make_record(tower, picture.name, image, truth, propose(image), letterbox=letterbox)
                file.write(json.dumps(record) + "\n")
                file.flush()
    except OSError as error:
        raise DatasetError(f"cannot write {out}: {error}") from error
    return len(missing)


def _records_done(out: Path) -> set[str]:
    """Names of the pictures that have a record; a last line that was not finished is cut off."""
    if not out.is_file():
        return set()
    try:
        whole = [line for line in out.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        found = {str(json.loads(line)["img"]) for line in whole}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{out} is not a file of records: {error}; remove it to write it anew") from error
    os.truncate(out, sum(map(len, whole)))
    return found


def _keep_settings(out: Path, settings: Mapping[str, object], *, begun: bool) -> None:
    path = settings_file(out)
    if begun and path.is_file() and (known := read_json(path)) != settings:
        raise ConfigurationError(
            f"{out} was made with other settings ({known}, now {dict(settings)}): remove it, or name another "
            "data.records"
        )
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(settings) + "\n", encoding="utf-8"))


def settings_file(records: Path) -> Path:
    """Where the settings of a file of records are kept."""
    return records.with_suffix(".settings.json")


def check_records(records: Path, *, letterbox: bool) -> None:
    """Raises ConfigurationError where records are known to be made for the other preset: their masks lie elsewhere."""
    path = settings_file(records)
    if path.is_file() and read_json(path).get("letterbox") is not letterbox:
        made, wanted = ("elisa_paper", "elisa") if letterbox else ("elisa", "elisa_paper")
        raise ConfigurationError(
            f"{records} was made for the preset {made}, this run's is {wanted}: run `python -m training prepare` with "
            "another data.records"
        )
