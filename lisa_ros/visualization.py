"""Pictures of results: masks over the image, phrases beside them, the answer below. Arrays are uint8 RGB."""

import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lisa_ros.types import SegmentationResult, Target

# Told apart by people with any kind of colour vision, and all bright enough to be seen on dark images.
PALETTE = (
    (255, 149, 0),
    (64, 178, 255),
    (52, 211, 120),
    (244, 114, 208),
    (250, 220, 60),
    (178, 132, 255),
    (255, 92, 76),
    (120, 225, 225),
)
_FILL = 0.45
_INK, _MUTED, _PAPER, _BAR = (24, 26, 31), (105, 110, 120), (250, 250, 248), (18, 20, 24)
_CAPTION_LINES = 3
_DASH = 6  # length of a dash in units of its thickness


def draw_overlay(image_rgb: np.ndarray, result: SegmentationResult) -> np.ndarray:
    """The image (H, W, 3) with the result drawn on it, at the same size.

    Filled and outlined masks, dashed outlines of the coarse masks that they were made from, a label per phrase, and at
    the bottom the answer, with what is absent or that nothing was found.
    """
    height = image_rgb.shape[0]
    canvas = Image.fromarray(_paint_masks(image_rgb, result.targets))
    font = load_font(int(np.clip(height / 26, 10, 40)))
    notes = _notes(result)
    bar = _caption_lines(result, notes, font, canvas.width)
    top_of_bar = _draw_caption(canvas, bar, font) if bar else height
    _draw_labels(canvas, result.targets, font, top_of_bar)
    return np.array(canvas)


def annotated_picture(
    image_rgb: np.ndarray,
    result: SegmentationResult,
    *,
    truth: np.ndarray | None = None,
    iou: float | None = None,
    note: str = "",
    panel_width: int = 512,
) -> np.ndarray:
    """A sheet (h, w, 3) for a report: question, image beside masks, answer, and a line with IoU and `note`.

    truth: (H, W) bool, outlined in white on the image. panel_width: of image and of masks, in pixels.
    """
    size = panel_width, round(panel_width * image_rgb.shape[0] / image_rgb.shape[1])
    left = _resized(image_rgb, size)
    if truth is not None:
        _outline(left, _resized_mask(truth, size), (255, 255, 255), 2)
    targets = tuple(_resized_target(target, size) for target in result.targets)
    right = Image.fromarray(_paint_masks(_resized(image_rgb, size), targets))
    _draw_labels(right, targets, load_font(16), size[1])

    margin, gap = 20, 12
    width = 2 * size[0] + gap + 2 * margin
    bold, regular, small = load_font(24, bold=True), load_font(20), load_font(15)
    question = wrap(result.query, bold, width - 2 * margin)
    answer = wrap(result.answer or "(no answer)", regular, width - 2 * margin)
    facts = " · ".join([*([f"IoU {iou:.2f}"] if iou is not None else []), *_notes(result), *([note] if note else [])])
    facts = wrap(facts, small, width - 2 * margin) if facts else []
    heights = len(question) * 32, len(answer) * 28, len(facts) * 22
    sheet = Image.new("RGB", (width, margin + heights[0] + gap + size[1] + gap + sum(heights[1:]) + margin), _PAPER)
    draw = ImageDraw.Draw(sheet)
    y = _write(draw, question, bold, (margin, margin), 32, _INK) + gap
    sheet.paste(Image.fromarray(left), (margin, y))
    sheet.paste(right, (margin + size[0] + gap, y))
    y = _write(draw, answer, regular, (margin, y + size[1] + gap), 28, _INK)
    _write(draw, facts, small, (margin, y), 22, _MUTED)
    return np.array(sheet)


@lru_cache(maxsize=32)
def load_font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans (Latin, Greek, Cyrillic and more) from matplotlib or the system, else Pillow's own Latin font."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    candidates = [name]
    if (spec := find_spec("matplotlib")) and spec.origin:
        candidates.insert(0, str(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / name))
    for candidate in candidates:
        try:
            return ImageFont.truetype(candidate, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def wrap(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines of text that fit `width` pixels, broken at blanks, or inside a word that is too long by itself.

    Control characters become blanks: they have no picture.
    """
    clean = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    lines, line = [], ""
    for word in clean.split():
        joined = f"{line} {word}" if line else word
        if font.getlength(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        while font.getlength(word) > width and len(word) > 1:
            fits = max(1, next(n for n in range(1, len(word) + 1) if font.getlength(word[:n]) > width) - 1)
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    return [*lines, line] if line else lines


def _paint_masks(image_rgb: np.ndarray, targets: tuple[Target, ...]) -> np.ndarray:
    canvas = image_rgb.copy()
    thickness = max(1, round(image_rgb.shape[0] / 320))
    for index, target in enumerate(targets):
        if target.mask.any():
            colour = np.array(PALETTE[index % len(PALETTE)])
            canvas[target.mask] = (canvas[target.mask] * (1 - _FILL) + colour * _FILL).astype(np.uint8)
    for index, target in enumerate(targets):
        if target.coarse is not None:
            _dashes(canvas, target.coarse > 0, PALETTE[index % len(PALETTE)], thickness)
    for index, target in enumerate(targets):
        _outline(canvas, target.mask, PALETTE[index % len(PALETTE)], thickness)
    return canvas


def _dashes(canvas: np.ndarray, mask: np.ndarray, colour, thickness: int) -> None:
    """The outline of a mask in dashes of six pixels for each of their thickness."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    length = _DASH * thickness
    for contour in contours:
        for start in range(0, len(contour), 2 * length):
            for ink, width in ((_BAR, thickness + 2), (tuple(map(int, colour)), thickness)):
                cv2.polylines(canvas, [contour[start : start + length]], False, ink, width, cv2.LINE_AA)


def _outline(canvas: np.ndarray, mask: np.ndarray, colour, thickness: int):
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, _BAR, thickness + 2, cv2.LINE_AA)
    cv2.drawContours(canvas, contours, -1, tuple(map(int, colour)), thickness, cv2.LINE_AA)


def _notes(result: SegmentationResult) -> list[str]:
    notes = [result.absence] if result.absence else []
    if not result.targets:
        notes.append("nothing segmented")
    elif not notes and not result.union_mask.any():
        notes.append("the mask is empty")
    if result.truncated:
        notes.append("answer cut at its token limit")
    return notes


def _caption_lines(result, notes, font, width: int) -> list[tuple[str, tuple[int, int, int]]]:
    room = width - font.size
    lines = wrap(result.answer or result.query, font, room)
    if len(lines) > _CAPTION_LINES:
        kept = lines[_CAPTION_LINES - 1]
        while kept and font.getlength(kept + "…") > room:
            kept = kept[:-1]
        lines = [*lines[: _CAPTION_LINES - 1], kept + "…"]
    status = wrap(" · ".join(notes), font, room)
    return [*((line, (255, 255, 255)) for line in lines), *((line, (255, 186, 120)) for line in status[:1])]


def _draw_caption(canvas: Image.Image, lines, font) -> int:
    """Writes on a dark bar at the bottom of the canvas; returns the row where the bar begins."""
    step, padding = round(font.size * 1.3), round(font.size * 0.4)
    top = canvas.height - step * len(lines) - 2 * padding
    bar = Image.new("RGB", (canvas.width, canvas.height - top), _BAR)
    box = (0, max(0, top), canvas.width, canvas.height)
    background = canvas.crop(box)
    canvas.paste(Image.blend(background, bar.resize(background.size), 0.72), box[:2])
    draw = ImageDraw.Draw(canvas)
    for number, (line, colour) in enumerate(lines):
        draw.text((font.size // 2, top + padding + number * step), line, font=font, fill=colour)
    return max(0, top)


def _draw_labels(canvas: Image.Image, targets: tuple[Target, ...], font, bottom: int):
    draw, taken = ImageDraw.Draw(canvas), []
    for index, target in enumerate(targets):
        words = wrap(target.phrase, font, canvas.width * 0.6)
        if not words or not target.mask.any():
            continue
        text = words[0] if len(words) == 1 else words[0] + "…"
        pad = max(2, font.size // 4)
        width, height = font.getlength(text) + 2 * pad, font.size * 1.25 + pad
        rows, columns = np.flatnonzero(target.mask.any(axis=1)), np.flatnonzero(target.mask.any(axis=0))
        x = float(np.clip((columns[0] + columns[-1] - width) / 2, 0, max(0, canvas.width - width)))
        y = _free_row(rows[0] - height - pad, x, width, height, bottom, taken)
        taken.append((x, y, x + width, y + height))
        draw.rounded_rectangle((x, y, x + width, y + height), radius=pad, fill=PALETTE[index % len(PALETTE)])
        draw.text((x + pad, y + pad / 2), text, font=font, fill=_INK)


def _free_row(wanted: float, x: float, width: float, height: float, bottom: float, taken) -> float:
    """The row nearest below `wanted` where a label hides no other one; `wanted` itself where there is none."""
    wanted = first = float(np.clip(wanted, 0, max(0, bottom - height)))
    for left, top, right, low in sorted(taken, key=lambda box: box[1]):
        if left < x + width and x < right and top < wanted + height and wanted < low:
            wanted = low + 1
    return wanted if wanted + height <= bottom else first


def _write(draw: ImageDraw.ImageDraw, lines: list[str], font, at: tuple[int, int], step: int, colour) -> int:
    x, y = at
    for line in lines:
        draw.text((x, y), line, font=font, fill=colour)
        y += step
    return y


def _resized(image_rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    shrinks = size[0] < image_rgb.shape[1]
    return cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _resized_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.5


def _resized_target(target: Target, size: tuple[int, int]) -> Target:
    coarse = None if target.coarse is None else cv2.resize(target.coarse, size, interpolation=cv2.INTER_LINEAR)
    return Target(target.phrase, target.kind, _resized_mask(target.mask, size), coarse=coarse)
