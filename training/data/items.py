"""Training items: samples rendered as conversations of a style, one mask for each of their target tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.styles import DEFAULT_STYLE, RenderOptions, Style, get_style
from lisa_ros.types import Sample


@dataclass(frozen=True)
class TrainingItem:
    """An image, conversations about it, and the masks that they speak of.

    image: (H, W, 3) uint8 RGB; None for dialogues about no image.
    conversations: each a tuple of (question, answer) turns; conversations do not see one another.
    masks: (n, H, W) bool in the order of the target tokens of all answers, empty for what is absent; (0, 0, 0) without
        an image.
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
    explanation. paraphrases: further wordings of a question. style: of the network. Raises ConfigurationError.
    """

    max_turns: int = 3
    text_answers: float = 0.1
    paraphrases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    style: Style = field(default_factory=lambda: get_style(DEFAULT_STYLE))

    def __post_init__(self) -> None:
        if self.max_turns < 1:
            raise ConfigurationError(f"max_turns is {self.max_turns}; it must be 1 or more")
        if not 0 <= self.text_answers <= 1:
            raise ConfigurationError(f"text_answers is {self.text_answers}; it must be within 0..1")

    def __call__(self, sample: Sample, key: str, rng: np.random.Generator) -> TrainingItem:
        """The item of a sample with at least one turn; equal draws of `rng` give equal items.

        A dialogue (turns without targets) is one conversation as it stands; of other samples the style makes its
        conversations.
        """
        if not sample.turns[0].targets:
            conversations = (tuple((turn.question, turn.answer) for turn in sample.turns),)
            return _item(sample, key, conversations, [])
        drawn = rng.permutation(len(sample.turns))[: self.max_turns]
        options = RenderOptions(self.text_answers, self.paraphrases)
        rendered = self.style.render([sample.turns[int(number)] for number in drawn], options, rng)
        conversations = tuple(tuple((turn.question, turn.answer) for turn in turns) for turns in rendered)
        absent = np.zeros(sample.image.shape[:2], bool)
        targets = [target for turns in rendered for turn in turns for target in turn.targets]
        return _item(sample, key, conversations, [absent if t.mask is None else t.mask for t in targets])


def _item(
    sample: Sample, key: str, conversations: tuple[tuple[tuple[str, str], ...], ...], masks: list[np.ndarray]
) -> TrainingItem:
    empty = np.zeros((0, *(sample.image.shape[:2] if sample.image is not None else (0, 0))), bool)
    return TrainingItem(
        sample.image, conversations, np.stack(masks) if masks else empty, sample.ignore, sample.source, key
    )
