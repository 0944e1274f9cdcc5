"""A loaded checkpoint, and what every question to it goes through: prompt, time, memory, mask."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lisa_ros.errors import ConfigurationError, InvalidImageError, InvalidQueryError, LisaError, QueryCancelled
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.inference.answer import AnswerText
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.inference.generation import Prefix, prefill
from lisa_ros.inference.regions import MaskLogits, Regions, choose_masks, encode_regions
from lisa_ros.model.checkpoint import Checkpoint
from lisa_ros.model.memory import memory_guard
from lisa_ros.model.preprocess import check_image, sam_preprocess, upscale_logits
from lisa_ros.model.prompts import question_about_image
from lisa_ros.model.proposals import CandidateProvider, ProposalOptions
from lisa_ros.model.sam import SamFeatures
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from lisa_ros.types import ABSENT, SEGMENTED, EventKind, Target

Cancelled = Callable[[], bool]


class LoadedModel:
    """Network, tokenizer and prompt template of a checkpoint on its device; `Lisa` asks it questions."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        precision: str,
        name: str,
        proposal_options: Mapping[str, object] | None = None,
    ) -> None:
        """Takes a checkpoint whose network is on `device` in `precision`.

        Args:
            checkpoint: The checkpoint.
            device: Where it is.
            precision: Of its weights.
            name: What it is called in `provenance`.
            proposal_options: For a style that chooses among proposals: see `Lisa.from_pretrained`.

        Raises:
            ConfigurationError: There are options for proposals, and the style draws its masks; or one is wrong.
        """
        self.checkpoint = checkpoint
        self.network = checkpoint.network
        self.tokenizer = checkpoint.tokenizer
        self.style = self.network.style
        self.kinds = self.style.kinds(checkpoint.tokenizer)
        self.template = self.network.config.template
        self.device = device
        self.provenance = f"{name} {precision} {self.template.name}"
        self.proposal_options = self._proposal_options(proposal_options)
        self.mark = object()  # in its frames; not the engine itself, which a kept frame would keep in memory

    def _proposal_options(self, values: Mapping[str, object] | None) -> ProposalOptions | None:
        """How proposals are made; None for a style that draws its masks."""
        if self.style.chooses:
            return self.network.head.config.proposals.changed(values)
        if values:
            raise ConfigurationError(f"style {self.style.name} draws its masks; proposal options are of no use to it")
        return None

    def first_question(self, words: str) -> str:
        """The first question of a conversation: the image, then the words."""
        return question_about_image(words, self.network.config.mm_use_im_start_end)

    def encode(self, image: np.ndarray, proposals: Proposals | None = None) -> EncodedFrame:
        """The frame of an image (H, W, 3) uint8 RGB, see Lisa.encode."""
        check_image(image)
        if proposals is not None and not self.style.chooses:
            raise ConfigurationError(f"style {self.style.name} draws its masks; proposals are of no use to it")
        started = time.perf_counter()
        with memory_guard(self.device, "image"), torch.inference_mode():
            features, visual = self._encode_visual(image)
            ids = self.tokenizer.expand_image(self._prefix_ids(), visual.shape[1])
            cache, _ = prefill(self.network, ids, visual)
            regions = self._regions(image, features, proposals) if self.style.chooses else None
            if self.device.type == "cuda":  # kernels run asynchronously; the time is taken after they end
                torch.cuda.synchronize(self.device)
        height, width = image.shape[:2]
        prefix = Prefix.of(ids, cache)
        seconds = time.perf_counter() - started
        return EncodedFrame(height, width, features, visual, prefix, seconds, self.mark, regions)

    def _regions(self, image: np.ndarray, features: SamFeatures, proposals: Proposals | None) -> Regions:
        if proposals is None:
            proposals = CandidateProvider(self.network.sam, self.proposal_options).propose(image, features)
        else:
            proposals = proposals.largest(self.proposal_options.limit)
        return encode_regions(self.network.head, image, proposals)

    def _prefix_ids(self) -> list[int]:
        """Ids of any prompt about an image, up to the end of the image. Not expanded."""
        ids = self.tokenizer.encode_prompt(self.template.render([(self.first_question(""), None)]))
        end = ids.index(IMAGE_TOKEN_ID) + 1
        return ids[: end + self.network.config.mm_use_im_start_end]

    def _encode_visual(self, image: np.ndarray) -> tuple[SamFeatures, Tensor]:
        """SAM's features and the visual tokens (1, N, hidden_size)."""
        network = self.network
        pixels = sam_preprocess(image, network.config.sam.image_size).to(self.device)
        features = network.encode_image(pixels)
        clip = None if network.vision_tower is None else network.vision_tower.preprocess(image).to(self.device)
        return features, network.visual_tokens(features, clip)

    def check_frame(self, frame: EncodedFrame) -> None:
        """Raises InvalidImageError unless this engine encoded `frame`: features of another one mean nothing to it."""
        if not isinstance(frame, EncodedFrame):
            raise InvalidImageError(f"the frame must be what encode(image) returned, not {type(frame).__name__}")
        if frame.owner is not self.mark:
            raise InvalidImageError(
                "the frame was encoded by another engine; encode the image with the one that is asked"
            )

    def prompt_ids(self, frame: EncodedFrame, turns: Sequence[tuple[str, str | None]]) -> list[int]:
        """Expanded ids of a prompt; raises InvalidQueryError if it does not fit the model's context."""
        return self.expanded_ids(self.template.render(turns), frame)

    def expanded_ids(self, prompt: str, frame: EncodedFrame) -> list[int]:
        """Expanded ids of a rendered prompt; see `prompt_ids`."""
        ids = self.tokenizer.expand_image(self.tokenizer.encode_prompt(prompt), frame.visual.shape[1])
        if len(ids) >= self.context_length:
            raise InvalidQueryError(
                f"with its image and history the query has {len(ids)} tokens, the model takes {self.context_length}; "
                "shorten it or start a new conversation"
            )
        return ids

    @property
    def context_length(self) -> int:
        """Number of tokens that prompt and answer share."""
        return self.network.config.max_position_embeddings

    def answer_text(self) -> AnswerText:
        """An empty answer of this model, to be read as its tokens come."""
        words = {id: self.style.words[kind] for id, kind in self.kinds.items() if kind in self.style.words}
        return AnswerText(self.tokenizer, self.style.phrase, words)

    def events(self, ids: Sequence[int]) -> tuple[list[int], list[EventKind]]:
        """Positions and kinds of the grounding tokens among expanded ids."""
        found = [(position, kind) for position, id in enumerate(ids) if (kind := self.kinds.get(id))]
        return [position for position, _ in found], [kind for _, kind in found]

    def decode_masks(
        self, frame: EncodedFrame, states: Tensor, kinds: Sequence[EventKind], *, strict: bool = False
    ) -> list[MaskLogits | None]:
        """Mask logits of the targets among an answer's events.

        Args:
            frame: The image.
            states: (n, hidden_size) hidden states of all events.
            kinds: Of the n events.
            strict: See `choose_masks`.

        Returns:
            For each target, in the order of their tokens, its mask; None where there is nothing to choose among.

        Raises:
            LisaError: Logits are not finite: NaN is not above 0, and the mask would pass for an empty one.
        """
        with torch.inference_mode():
            head = self.network.head
            if frame.regions is not None:
                return choose_masks(head, frame.regions, states, (frame.height, frame.width), strict=strict)
            masks = head.decode_targets(frame.features, head.embed(states), kinds)
            for low_res in masks:
                if low_res is not None and not torch.isfinite(low_res).all():
                    raise LisaError(
                        "the mask's values are not finite; load the checkpoint with precision bf16 or fp32, and if it "
                        "is, download or copy it again: its weights are damaged"
                    )
            coarse = [None] * len(masks.logits) if masks.coarse is None else masks.coarse
            return [
                MaskLogits(self._full_size(frame, one), None if part is None else self._full_size(frame, part))
                for one, part in zip(masks.logits, coarse, strict=True)
            ]

    def _full_size(self, frame: EncodedFrame, low_res: Tensor) -> np.ndarray:
        size = self.network.config.sam.image_size
        return upscale_logits(low_res.unsqueeze(0), size, frame.height, frame.width)[0].cpu().numpy()

    def about(self, frame: EncodedFrame) -> "LoadedModel":
        """The model that answers queries about a frame. Raises InvalidImageError for another engine's frame."""
        self.check_frame(frame)
        return self

    def ground(
        self, frame: EncodedFrame, states: Tensor, kinds: Sequence[EventKind], phrase: str, probability: float
    ) -> Target:
        """The one target among some events of an answer; arguments as of `decode_masks` and `target`."""
        (found,) = self.decode_masks(frame, states, kinds)
        return self.target(frame, phrase, found, probability)

    def told_target(self, frame: EncodedFrame, phrase: str, targets: Sequence[Target]) -> Target:
        """What a generated answer, by its targets, says about the one phrase that was asked for.

        It is there if a mask is not empty; else it has what the answer offers in its place.
        """
        found = [one for one in targets if one.kind == ABSENT or one.mask.any()]
        found.sort(key=lambda one: one.kind == ABSENT)
        return replace(found[0], phrase=phrase) if found else absent_target(frame, phrase, float("nan"))

    @staticmethod
    def target(frame: EncodedFrame, phrase: str, found: MaskLogits | None, probability: float) -> Target:
        """The target that mask logits mean; an absent one where there was nothing to choose among."""
        if found is None:
            return absent_target(frame, phrase, probability)
        mask = found.logits > 0
        certainty = float(np.mean(1 / (1 + np.exp(-found.logits[mask])))) if mask.any() else float("nan")
        return Target(
            phrase, SEGMENTED, mask, found.logits, certainty, probability, found.coarse, candidate=found.candidate
        )

    @contextmanager
    def timed(self, seconds: dict[str, float], stage: str) -> Iterator[None]:
        """Adds the wall time of a stage to `seconds`, and guards its memory."""
        started = time.perf_counter()
        with memory_guard(self.device):
            yield
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started

    @staticmethod
    def stop_if(cancelled: Cancelled | None) -> None:
        """Raises QueryCancelled if the caller wants to stop."""
        if cancelled is not None and cancelled():
            raise QueryCancelled("the query was cancelled")


def absent_target(frame: EncodedFrame, phrase: str, probability: float) -> Target:
    """What is not in the image."""
    return Target(phrase, ABSENT, np.zeros((frame.height, frame.width), bool), probability=probability)


def total(seconds: dict[str, float]) -> dict[str, float]:
    """`seconds` with the sum of this query's own stages; `encode` happened once for the frame."""
    return seconds | {"total": sum(value for stage, value in seconds.items() if stage != "encode")}
