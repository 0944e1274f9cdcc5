"""Training items -> padded batches: token ids, labels, where each grounding event is read, pixels, masks."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from lisa_ros.model.config import LisaConfig
from lisa_ros.model.grounding import TARGET_KINDS
from lisa_ros.model.preprocess import ClipPreprocessor, check_image, sam_preprocess
from lisa_ros.model.prompts import question_about_image
from lisa_ros.model.sam import SamFeatures
from lisa_ros.model.styles import get_style
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.types import REJ, EventKind
from training.data.items import TrainingItem
from training.data.proposal_targets import ProposalTargets, proposal_targets
from training.errors import BadItemError

PADDING_ID = 0
IGNORE_INDEX = -100  # label of what is not learnt, as PyTorch's cross-entropy has it
TEXT_ONLY = -1


@dataclass(frozen=True)
class TokenizedConversation:
    """One conversation as tokens.

    Attributes:
        ids: Token ids, with the image expanded to its visual tokens.
        labels: For each id the id itself where the model has to learn it, else IGNORE_INDEX.
    """

    ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class Batch:
    """R conversations about B images (text-only conversations have none).

    Attributes:
        ids: (R, L) int64 token ids, right-padded.
        labels: (R, L) int64; labels[r, i] is ids[r, i] where the model has to learn it, else -100.
        attention_mask: (R, L) bool.
        image_of_row: (R,) int64 index of the image; -1 for text-only rows.
        states: (n, 2) int64, row and position of the state that each grounding event is read from, image by image.
        kinds: For each image the kinds of its events.
        sam_pixels: (B, 3, S, S) float32; None where nothing needs them.
        clip_pixels: (B, 3, s, s) float32; None where nothing needs them.
        features: SAM's features from the cache in place of sam_pixels, else None.
        masks: For each image (n_i, H, W) bool, one for each target among its events, empty for one that is rejected.
        valid: For each image (H, W) bool, the pixels that count in the loss, or None for all.
        keys: Names of the items, for messages.
        image_keys: Keys of the images in the feature cache; empty without one.
        dino_pixels: (B, 3, D, D) float32 for a network that chooses among proposals; else None.
        proposals: Of each image, for such a network; else empty.
    """

    ids: Tensor
    labels: Tensor
    attention_mask: Tensor
    image_of_row: Tensor
    states: Tensor
    kinds: tuple[tuple[EventKind, ...], ...]
    sam_pixels: Tensor | None
    clip_pixels: Tensor | None
    features: SamFeatures | None
    masks: tuple[Tensor, ...]
    valid: tuple[Tensor | None, ...]
    keys: tuple[str, ...]
    image_keys: tuple[str, ...] = ()
    dino_pixels: Tensor | None = None
    proposals: tuple[ProposalTargets, ...] = ()

    def to(self, device: torch.device) -> "Batch":
        """The batch on another device."""
        return replace(self, **{f.name: _moved(getattr(self, f.name), device) for f in fields(self)})


def _moved(value: object, device: torch.device) -> object:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, ProposalTargets):
        return value.to(device)
    if isinstance(value, SamFeatures):
        return SamFeatures(*(_moved(part, device) for part in value))
    return tuple(_moved(part, device) for part in value) if isinstance(value, tuple) else value


class Collator:
    """Turns items into batches for one network.

    Args:
        tokenizer: Tokenizer of the network.
        config: Configuration of the network.
        visual_tokens: Number of visual tokens of one image.
        clip: Preprocessing of the CLIP tower; None without one.
        max_length: Maximum length of a conversation in tokens, visual tokens included.
        use_ignore: Whether ignored pixels of an item are excluded from the loss; otherwise they are background.
    """

    def __init__(
        self,
        tokenizer: LisaTokenizer,
        config: LisaConfig,
        *,
        visual_tokens: int,
        clip: ClipPreprocessor | None,
        max_length: int,
        use_ignore: bool,
    ) -> None:
        self.tokenizer, self.config, self.clip = tokenizer, config, clip
        self.template = config.template
        self.style = get_style(config.style)
        self.kinds = self.style.kinds(tokenizer)
        self.visual_tokens, self.max_length, self.use_ignore = visual_tokens, max_length, use_ignore

    def tokenize(self, conversation: Sequence[tuple[str, str]], has_image: bool) -> TokenizedConversation:
        """Token ids and labels of one conversation; answers and their `</s>` have labels, everything else has -100.

        A conversation longer than `max_length` is truncated, as in the official code: many of LLaVA's dialogues are
        longer.

        Args:
            conversation: (question, answer) turns.
            has_image: Whether the first question shows the image.

        Returns:
            Ids and labels.

        Raises:
            BadItemError: If truncation would lose a grounding token or leave no label.
        """
        turns = list(conversation)
        if has_image:
            turns[0] = (question_about_image(turns[0][0], self.config.mm_use_im_start_end), turns[0][1])
        ids = self._ids(turns)
        labels = [IGNORE_INDEX] * len(ids)
        for number, (question, _) in enumerate(turns):
            asked = self._ids([*turns[:number], (question, None)])
            answered = self._ids(turns[: number + 1])
            if ids[: len(answered)] != answered or answered[: len(asked)] != asked:
                raise BadItemError(f"the tokens of turn {number + 1} change with what follows it: {question!r}")
            labels[len(asked) : len(answered)] = answered[len(asked) :]
        kept = labels[: self.max_length]
        lost = bool(self._events(ids[self.max_length :])) or all(label == IGNORE_INDEX for label in kept)
        if len(ids) > self.max_length and lost:
            raise BadItemError(f"a conversation of {len(ids)} tokens; max_length is {self.max_length}")
        return TokenizedConversation(ids[: self.max_length], kept)

    def _events(self, ids: Sequence[int]) -> list[tuple[int, EventKind]]:
        return [(position, self.kinds[id]) for position, id in enumerate(ids) if id in self.kinds]

    def _ids(self, turns: Sequence[tuple[str, str | None]]) -> list[int]:
        ids = self.tokenizer.encode_prompt(self.template.render(turns))
        return self.tokenizer.expand_image(ids, self.visual_tokens)

    def check(self, item: TrainingItem) -> None:
        """Raises BadItemError or InvalidImageError unless the item can be part of a batch."""
        self.tokenize_item(item)
        self._check_proposals(item)
        if item.image is not None:
            check_image(item.image)

    def tokenize_item(self, item: TrainingItem) -> list[TokenizedConversation]:
        """The item's conversations, checked against its image and masks. Raises BadItemError naming the item."""
        try:
            tokenized = [self.tokenize(conversation, item.image is not None) for conversation in item.conversations]
            events = [kind for one in tokenized for _, kind in self._events(one.ids) if kind in TARGET_KINDS]
            count = len(item.masks)
            if len(events) != count:
                raise BadItemError(f"{len(events)} {' or '.join(self.style.target_tokens)} for {count} masks")
            if any(kind == REJ and mask.any() for kind, mask in zip(events, item.masks, strict=True)):
                raise BadItemError("a target that the answer rejects has a mask")
            if not any(label != IGNORE_INDEX for one in tokenized for label in one.labels):
                raise BadItemError("no answer to learn")
            if item.image is None:
                if any(self._events(one.ids) for one in tokenized):
                    raise BadItemError("masks without an image")
            elif count and item.masks.shape[1:] != item.image.shape[:2]:
                raise BadItemError(f"masks of {item.masks.shape[1:]} on an image of {item.image.shape[:2]} pixels")
        except BadItemError as error:
            raise BadItemError(f"{item.source} {item.key}: {error}") from None
        return tokenized

    def __call__(self, items: Sequence[TrainingItem], features: SamFeatures | None = None) -> Batch:
        """The batch of some items. features: SAM's of the items that have an image, in their order, if known.

        Raises BadItemError, InvalidImageError.
        """
        tokenized: list[TokenizedConversation] = []
        image_of_row: list[int] = []
        pictured: list[TrainingItem] = []
        for item in items:
            found, index = self.tokenize_item(item), TEXT_ONLY
            if item.image is not None:
                check_image(item.image)
                index = len(pictured)
                pictured.append(item)
            tokenized += found
            image_of_row += [index] * len(found)
        states, kinds = [], [[] for _ in pictured]
        for number, (one, image) in enumerate(zip(tokenized, image_of_row, strict=True)):
            for position, kind in self._events(one.ids):
                states.append((number, position + self.style.state_offset))
                kinds[image].append(kind)
        images, head = [item.image for item in pictured], self.config.proposal_head
        size, ids = self.config.sam.image_size, _padded([one.ids for one in tokenized], PADDING_ID)
        lengths = torch.tensor([len(one.ids) for one in tokenized])
        return Batch(
            ids=ids,
            labels=_padded([one.labels for one in tokenized], IGNORE_INDEX),
            attention_mask=torch.arange(ids.shape[1]) < lengths[:, None],
            image_of_row=torch.tensor(image_of_row),
            states=torch.tensor(states, dtype=torch.long).reshape(-1, 2),
            kinds=tuple(map(tuple, kinds)),
            sam_pixels=None if features or not self._needs_sam else _stacked([sam_preprocess(p, size) for p in images]),
            clip_pixels=_stacked([self.clip(p) for p in images]) if self.clip else None,
            features=features,
            masks=tuple(torch.from_numpy(item.masks) for item in pictured),
            valid=tuple(self._valid(item) for item in pictured),
            keys=tuple(f"{item.source} {item.key}" for item in items),
            dino_pixels=_stacked([sam_preprocess(p, head.input_size) for p in images]) if head else None,
            proposals=tuple(map(self._proposals, pictured)) if head else (),
        )

    @property
    def _needs_sam(self) -> bool:
        """Whether the network draws masks, or sees by SAM's features."""
        return self.config.proposal_head is None or self.config.shares_image_encoder

    def _check_proposals(self, item: TrainingItem) -> None:
        if self.config.proposal_head and item.image is not None and item.proposals is None:
            raise BadItemError(f"{item.source} {item.key}: style {self.config.style} needs proposals (data.proposals)")

    def _proposals(self, item: TrainingItem) -> ProposalTargets:
        head = self.config.proposal_head
        self._check_proposals(item)
        return proposal_targets(item.proposals.largest(head.limit), item.masks, head.pooling_size)

    def _valid(self, item: TrainingItem) -> Tensor | None:
        if not self.use_ignore or item.ignore is None:
            return None
        return torch.from_numpy(~item.ignore)


def _padded(tokenized: Sequence[Sequence[int]], padding: int) -> Tensor:
    length = max(len(one) for one in tokenized)
    return torch.tensor([[*one, *[padding] * (length - len(one))] for one in tokenized])


def _stacked(images: Sequence[Tensor]) -> Tensor | None:
    return torch.cat(list(images)) if images else None
