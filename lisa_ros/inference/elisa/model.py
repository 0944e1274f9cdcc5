"""A loaded ELISA and what every question to it goes through."""

import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from lisa_ros.errors import ConfigurationError, InvalidImageError, LisaError
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.inference.generation import Prefix, prefill
from lisa_ros.inference.loaded_model import LoadedModel, absent_target
from lisa_ros.inference.regions import NO_PROPOSALS
from lisa_ros.model.elisa.checkpoint import ElisaCheckpoint
from lisa_ros.model.elisa.embedding import embed_masks, resized_mask
from lisa_ros.model.elisa.network import AskedNetwork, CandidateRows
from lisa_ros.model.elisa.style import ElisaStyle
from lisa_ros.model.elisa.tokenizer import IMAGE_WORD, MASK_WORDS
from lisa_ros.model.memory import memory_guard
from lisa_ros.model.preprocess import check_image
from lisa_ros.model.proposals import CandidateProvider, ProposalOptions
from lisa_ros.model.sam import SegmentAnything
from lisa_ros.types import SEG, SEGMENTED, Candidate, EventKind, Target

NOT_CHOSEN = -20.0  # log-odds of a pixel outside the chosen candidate
_LEAST = 1e-6  # and at least of one inside
_BOUND = 1e-6
_MASK_PREFIX = "<SEG_MASK_"


@dataclass(frozen=True, kw_only=True)
class CandidateFrame(EncodedFrame):
    """An encoded image with the candidate masks that answers choose among.

    Attributes:
        proposals: The candidates.
        embeddings: (K, D) float32, AlphaCLIP's, of length 1.
        rows: Their rows of the vocabulary.
    """

    proposals: Proposals
    embeddings: Tensor
    rows: CandidateRows = field(repr=False)

    @property
    def reason(self) -> str:
        """See EncodedFrame."""
        return "" if len(self.proposals) else NO_PROPOSALS


class ElisaModel(LoadedModel):
    """Network, tokenizer and candidate provider of an ELISA on its device."""

    def __init__(
        self,
        checkpoint: ElisaCheckpoint,
        *,
        style: ElisaStyle,
        device: torch.device,
        precision: str,
        name: str,
        proposal_options: ProposalOptions,
        sam: SegmentAnything | None,
    ) -> None:
        """Takes a checkpoint whose parts are on `device`; sam: makes candidates where `encode` is given none."""
        self.checkpoint = checkpoint
        self.network, self.tokenizer, self.tower = checkpoint.network, checkpoint.tokenizer, checkpoint.tower
        self.style, self.proposal_options = style, proposal_options
        self.sam = sam
        self.provider = None if sam is None else CandidateProvider(sam, proposal_options)
        self.kinds: dict[int, EventKind] = {}
        self.device = device
        self.provenance = f"{name} {precision} {style.name}"
        self.mark = object()

    def about(self, frame: EncodedFrame) -> "ElisaModel":
        """This model with a frame's candidates as words. Raises InvalidImageError for another engine's frame."""
        self.check_frame(frame)
        view = copy(self)
        view.network = AskedNetwork(self.network, frame.rows)
        first = self.tokenizer.first_candidate
        view.kinds = dict.fromkeys(range(first, first + len(frame.rows)), SEG)
        return view

    def check_frame(self, frame: EncodedFrame) -> None:
        """See LoadedModel."""
        super().check_frame(frame)
        if not isinstance(frame, CandidateFrame):
            raise InvalidImageError("the frame has no candidate masks; encode the image with this engine")

    def first_question(self, words: str) -> str:
        """The first question of a conversation: the image, a newline, the words."""
        return f"{IMAGE_WORD}\n{words}"

    def encode(self, image: np.ndarray, proposals: Proposals | None = None) -> CandidateFrame:
        """The frame of an image, see Lisa.encode."""
        check_image(image)
        started = time.perf_counter()
        with memory_guard(self.device, "image"), torch.inference_mode():
            proposals = self._proposals(image, proposals)
            embeddings = self._embeddings(image, proposals.masks)
            rows = self.network.rows(embeddings)
            visual = self.network.visual_tokens(self.checkpoint.preprocess(image).to(self.device))
            ids = self.tokenizer.expand_image(self._prefix_ids(), visual.shape[1])
            cache, _ = prefill(AskedNetwork(self.network, rows), ids, visual)
            if self.device.type == "cuda":  # kernels run asynchronously; the time is taken after they end
                torch.cuda.synchronize(self.device)
        height, width = image.shape[:2]
        return CandidateFrame(
            height, width, None, visual, Prefix.of(ids, cache), time.perf_counter() - started, self.mark,
            proposals=proposals, embeddings=embeddings, rows=rows,
        )  # fmt: skip

    def _embeddings(self, image: np.ndarray, masks: np.ndarray) -> Tensor:
        return embed_masks(self.tower, image, masks, letterbox=self.style.letterbox)

    def _proposals(self, image: np.ndarray, given: Proposals | None) -> Proposals:
        if given is None and self.provider is None:
            raise ConfigurationError(
                "ELISA chooses among candidate masks and has nothing to make them with; give the file "
                "of Segment Anything (sam_vit_b_01ec64.pth) with sam_checkpoint=PATH (--sam-checkpoint PATH), or the "
                "masks with encode(image, proposals)"
            )
        proposals = self.provider.propose(image) if given is None else given
        if len(proposals) > MASK_WORDS:
            raise ConfigurationError(
                f"{len(proposals)} candidate masks; ELISA has words for {MASK_WORDS}. Take the largest(n) of them"
            )
        return proposals

    def _prefix_ids(self) -> list[int]:
        ids = self.tokenizer.encode_prompt(self.tokenizer.render([(self.first_question("?"), None)]))
        return ids[: ids.index(self.tokenizer.image_id) + 1]

    def prompt_ids(self, frame: EncodedFrame, turns: Sequence[tuple[str, str | None]]) -> list[int]:
        """See LoadedModel; answers keep their first mask, which the chat template would take the blank from."""
        turns = [
            (question, f" {answer}" if answer is not None and answer.startswith(_MASK_PREFIX) else answer)
            for question, answer in turns
        ]
        return self.expanded_ids(self.tokenizer.render(turns, exact=True), frame)

    @property
    def context_length(self) -> int:
        """Number of tokens that prompt and answer share."""
        return self.network.config.max_position_embeddings

    def events(self, ids: Sequence[int]) -> tuple[list[int], list[EventKind]]:
        """Of an answer that stands in the prompt: there is no such thing here. Raises ConfigurationError."""
        raise ConfigurationError("ELISA's answers name candidates of the image and are generated; use mode generative")

    def ground(
        self, frame: CandidateFrame, states: Tensor, kinds: Sequence[EventKind], phrase: str, probability: float
    ) -> Target:
        """The target of a word for a mask: the candidate that the one state before it has said.

        Raises LisaError where scores are not finite.
        """
        with torch.inference_mode():
            logits = self.network.logits(states)[0].float()
            scores = self.network.scores(states)[0].float()
            if not torch.isfinite(scores).all():
                raise LisaError("scores of candidates are not finite; load the checkpoint with precision bf16 or fp32")
            index = int(scores.argmax())
            said = float(torch.softmax(logits, dim=0)[self.tokenizer.first_candidate + index])
            score = float(torch.softmax(scores, dim=0)[index])
        mask = resized_mask(frame.proposals.masks[index], frame.height, frame.width)
        bounded = min(max(said, _BOUND), 1 - _BOUND)
        inside = max(float(np.log(bounded / (1 - bounded))), _LEAST)
        values = np.where(mask, np.float32(inside), np.float32(NOT_CHOSEN))
        certainty = said if mask.any() else float("nan")
        candidate = Candidate(index, score, (index,))
        target = Target(phrase, SEGMENTED, mask, values, certainty, probability, candidate=candidate)
        return self.with_quality(target)

    def told_target(self, frame: CandidateFrame, phrase: str, targets: Sequence[Target]) -> Target:
        """All masks of an answer as one target, whose candidate is the best of them; absent without any."""
        found = [target for target in targets if target.mask.any()]
        if not found:
            return absent_target(frame, phrase, 0.0)
        best = max(found, key=lambda target: target.candidate.score)
        mask = np.logical_or.reduce([target.mask for target in found])
        logits = np.maximum.reduce([target.logits for target in found])
        members = tuple(sorted({index for target in found for index in target.candidate.members}))
        whole = replace(best, phrase=phrase, mask=mask, logits=logits, probability=found[0].probability)
        return self.with_quality(replace(whole, candidate=replace(best.candidate, members=members)))
