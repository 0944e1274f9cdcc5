"""One item of training: an image with the conversations about it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TrainingItem:
    """An image, conversations about it, and the masks that they speak of.

    image: (H, W, 3) uint8 RGB; None for dialogues about no image.
    conversations: each a tuple of (question, answer) turns; conversations do not see one another.
    masks: (n, H, W) bool in the order of the `[SEG]`s of all answers; (0, 0, 0) without an image.
    ignore: (H, W) bool, pixels that the loss may leave out; None for none.
    source, key: data set and sample, for messages: "reason_seg/train", "t0".
    """

    image: np.ndarray | None
    conversations: tuple[tuple[tuple[str, str], ...], ...]
    masks: np.ndarray
    ignore: np.ndarray | None
    source: str
    key: str
