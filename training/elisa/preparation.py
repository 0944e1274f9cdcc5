"""Pictures with their truth -> ELISA's records: candidates proposed, freed of copies of the truth, embedded."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lisa_ros.datasets.labelme import shape_mask
from lisa_ros.datasets.reasonseg import ReasonSegDataset, read_shapes
from lisa_ros.errors import DatasetError
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
) -> int:
    """Writes the records of a split of ReasonSeg; an image that is in the file already is not done again.

    Args:
        root: Has reason_seg/ReasonSeg.
        split: Of ReasonSeg.
        out: The file to write, one record a line.
        tower: AlphaCLIP.
        propose: Candidates of an image, the largest first.
        letterbox: See `embed_masks`; False draws the truth as the official preparation does.

    Returns:
        The number of records that were added.

    Raises:
        DatasetError: A file of the data set, or `out`, cannot be read.
    """
    pairs = ReasonSegDataset(root, split).pairs
    lines = out.read_text(encoding="utf-8").splitlines() if out.is_file() else []
    try:
        done = {json.loads(line)["img"] for line in lines}
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{out} is not a file of records: {error}; remove it to write it anew") from error
    missing = [pair for pair in pairs if pair[0].name not in done]
    out.parent.mkdir(parents=True, exist_ok=True)
    for picture, annotation in track(missing, unit="image", description=f"records of {split}"):
        image = read_image(picture)
        shapes = [shape for shape in read_shapes(annotation) if shape.get("label") == _TARGET]
        draw = shape_mask if letterbox else pillow_mask
        truth = [draw(shape, *image.shape[:2]) for shape in shapes]
        record = make_record(tower, picture.name, image, truth, propose(image), letterbox=letterbox)
        lines.append(json.dumps(record))
        text = "\n".join(lines) + "\n"
        write_atomically(out, lambda path, text=text: path.write_text(text, encoding="utf-8"))
    return len(missing)
