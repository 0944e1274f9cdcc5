"""Training items: samples rendered as conversations of a style, one mask for each of their target tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.model.styles import DEFAULT_STYLE, RenderOptions, Style, get_style
from lisa_ros.types import Sample, Turn


@dataclass(frozen=True)
class TrainingItem:
    """An image, conversations about it, and the masks of their target tokens.

    Attributes:
        image: (H, W, 3) uint8 RGB; None for dialogues without an image.
        conversations: Each a tuple of (question, answer) turns; conversations are independent of one another.
        masks: (n, H, W) bool in the order of the target tokens of all answers, empty for what is absent; (0, 0, 0)
            without an image.
        ignore: (H, W) bool, pixels that the loss may leave out; None for none.
        source: Name of the data set, for messages ("reason_seg/train").
        key: Name of the sample, for messages.
        proposals: Masks of the image that a system may choose among; None without any.
    """

    image: np.ndarray | None
    conversations: tuple[tuple[tuple[str, str], ...], ...]
    masks: np.ndarray
    ignore: np.ndarray | None
    source: str
    key: str
    proposals: Proposals | None = None


@dataclass(frozen=True)
class Renderer:
    """Makes training items of samples.

    Attributes:
        max_turns: Maximum number of questions of one item, drawn among those of the sample.
        text_answers: Share of samples with an explanation that are asked for text only, without a mask. Of the others,
            every second one is asked for mask and explanation.
        paraphrases: Other wordings, by question.
        style: Style of the network.
        correction_masks: In a style that corrects, whether an answer that names what is there in the place of an absent
            thing has a [SEG] for it.
        multi_turn: Share of the items with several questions that ask them one after the other in one conversation; in
            the others each conversation sees its own question alone.

    Raises:
        ConfigurationError: If a value is out of range.
    """

    max_turns: int = 3
    text_answers: float = 0.1
    paraphrases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    style: Style = field(default_factory=lambda: get_style(DEFAULT_STYLE))
    correction_masks: bool = False
    multi_turn: float = 0.0

    def __post_init__(self) -> None:
        if self.max_turns < 1:
            raise ConfigurationError(f"max_turns is {self.max_turns}; it must be 1 or more")
        if not 0 <= self.text_answers <= 1:
            raise ConfigurationError(f"text_answers is {self.text_answers}; it must be within 0..1")
        if not 0 <= self.multi_turn <= 1:
            raise ConfigurationError(f"multi_turn is {self.multi_turn}; it must be within 0..1")
        if self.correction_masks and not self.style.corrects:
            raise ConfigurationError(
                f"correction_masks is true, but style {self.style.name} never names an alternative; set it to false"
            )

    def __call__(self, sample: Sample, key: str, rng: np.random.Generator, absent: Sequence[Turn] = ()) -> TrainingItem:
        """The item of a sample with at least one turn; equal draws of `rng` give equal items.

        A dialogue (turns without targets) is one conversation as it stands; of other samples the style makes its
        conversations. absent: further questions, whose targets are not in the picture, asked among the sample's.
        """
        if not sample.turns[0].targets:
            conversations = (tuple((turn.question, turn.answer) for turn in sample.turns),)
            return _item(sample, key, conversations, [])
        turns = [sample.turns[int(number)] for number in rng.permutation(len(sample.turns))[: self.max_turns]]
        for turn in absent:
            turns.insert(int(rng.integers(len(turns) + 1)), turn)
        options = RenderOptions(self.text_answers, self.paraphrases, self.correction_masks)
        rendered = self.style.render(turns, options, rng)
        if self.multi_turn and rng.random() < self.multi_turn:
            rendered = (tuple(turn for talk in rendered for turn in talk),)
        conversations = tuple(tuple((turn.question, turn.answer) for turn in talk) for talk in rendered)
        empty = np.zeros(sample.image.shape[:2], bool)
        targets = [target for talk in rendered for turn in talk for target in turn.targets]
        return _item(sample, key, conversations, [empty if t.mask is None else t.mask for t in targets])


def _item(
    sample: Sample, key: str, conversations: tuple[tuple[tuple[str, str], ...], ...], masks: list[np.ndarray]
) -> TrainingItem:
    empty = np.zeros((0, *(sample.image.shape[:2] if sample.image is not None else (0, 0))), bool)
    return TrainingItem(
        sample.image,
        conversations,
        np.stack(masks) if masks else empty,
        sample.ignore,
        sample.source,
        key,
        sample.proposals,
    )
