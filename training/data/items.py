"""Training items: samples rendered as conversations in the sentences that LISA knows, one mask for each [SEG]."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.types import Sample, Turn
from training.data import templates

_MASK_ANSWER = "[SEG]."  # what a reader's answer begins with; what follows explains
_PLAIN, _EXPLAIN, _TEXT = range(3)


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


@dataclass(frozen=True)
class Renderer:
    """How samples become items.

    max_turns: most questions of one item, drawn among the sample's. text_answers: of samples that have an explanation,
    the share that is asked for words alone, without a mask; of the rest, every other one is asked for mask and
    explanation. paraphrases: further wordings of a question. Raises ConfigurationError.
    """

    max_turns: int = 3
    text_answers: float = 0.1
    paraphrases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_turns < 1:
            raise ConfigurationError(f"max_turns is {self.max_turns}; it must be 1 or more")
        if not 0 <= self.text_answers <= 1:
            raise ConfigurationError(f"text_answers is {self.text_answers}; it must be within 0..1")

    def __call__(self, sample: Sample, key: str, rng: np.random.Generator) -> TrainingItem:
        """The item of a sample with at least one turn; equal draws of `rng` give equal items.

        A dialogue (turns without targets) is one conversation as it stands. Of other samples every question is a
        conversation of its own; several masks of one question are joined, and what is absent is answered so, without
        a mask.
        """
        if not sample.turns[0].targets:
            conversations = (tuple((turn.question, turn.answer) for turn in sample.turns),)
            return _item(sample, key, conversations, [])
        drawn = rng.permutation(len(sample.turns))[: self.max_turns]
        turns = [sample.turns[int(number)] for number in drawn]
        mode = self._mode(turns, rng)
        conversations = tuple((self._turn(turn, mode, rng),) for turn in turns)
        masks = [] if mode == _TEXT else [mask for turn in turns if (mask := _joined(turn)) is not None]
        return _item(sample, key, conversations, masks)

    def _mode(self, turns: Sequence[Turn], rng: np.random.Generator) -> int:
        if not all(_explanation(turn) for turn in turns):
            return _PLAIN
        return _TEXT if rng.random() < self.text_answers else int(rng.integers(2))

    def _turn(self, turn: Turn, mode: int, rng: np.random.Generator) -> tuple[str, str]:
        """Question and answer."""
        wordings = (turn.question, *turn.alternatives, *self.paraphrases.get(turn.question, ()))
        text = templates.pick(wordings, rng) if len(wordings) > 1 else turn.question
        if all(target.mask is None for target in turn.targets):
            return templates.question(text, turn.is_sentence, rng), templates.pick(templates.ABSENT_ANSWERS, rng)
        if mode == _TEXT:
            return text, _explanation(turn)
        if mode == _EXPLAIN:
            asked = templates.pick(templates.EXPLAIN_QUESTIONS, rng).format(text=text)
            return asked, f"{templates.pick(templates.ANSWERS, rng)} {_explanation(turn)}"
        return templates.question(text, turn.is_sentence, rng), templates.pick(templates.ANSWERS, rng)


def _explanation(turn: Turn) -> str:
    return turn.answer[len(_MASK_ANSWER) :].strip() if turn.answer.startswith(_MASK_ANSWER) else ""


def _joined(turn: Turn) -> np.ndarray | None:
    """(H, W) bool union of a turn's masks; None when everything is absent."""
    masks = [target.mask for target in turn.targets if target.mask is not None]
    return np.logical_or.reduce(masks) if masks else None


def _item(
    sample: Sample, key: str, conversations: tuple[tuple[tuple[str, str], ...], ...], masks: list[np.ndarray]
) -> TrainingItem:
    empty = np.zeros((0, *(sample.image.shape[:2] if sample.image is not None else (0, 0))), bool)
    return TrainingItem(
        sample.image, conversations, np.stack(masks) if masks else empty, sample.ignore, sample.source, key
    )
