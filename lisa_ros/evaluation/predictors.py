"""The two ways to ask a model, never mixed in one score."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from lisa_ros.geometry.proposals import Proposals
from lisa_ros.inference.conversation import MAX_NEW_TOKENS
from lisa_ros.inference.engine import Lisa
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.inference.regions import MaskLogits
from lisa_ros.inference.teacher_forcing import segment_many, teacher_forced
from lisa_ros.model.memory import stored_tensors
from lisa_ros.model.query_text import check_query
from lisa_ros.model.styles import MASK_ANSWER, QueryPrompt
from lisa_ros.types import Sample, SegmentationResult, Turn

if TYPE_CHECKING:
    import torch
    from torch import nn


class Predictor(Protocol):
    """Answers a turn about an encoded image. mode, max_new_tokens: as of `rows.EvaluationIdentity`."""

    mode: str
    lisa: Lisa
    max_new_tokens: int | None

    def __call__(self, frame: EncodedFrame, turn: Turn) -> SegmentationResult:
        """The result of one turn."""
        ...


class TeacherForced:
    """The paper's validation: the answer is taken to be "[SEG].", so that the mask is there whatever would be said.

    By causality this is the mask-only query. A checkpoint whose `seg_threshold` is above 0 (none of the published ones)
    may still refuse. In a style that rejects, by tokens or in words, the mask counts whatever was decided, as in GSVA's
    and SESAME's validation in training.
    """

    mode = "teacher_forced"
    max_new_tokens = None

    def __init__(self, lisa: Lisa) -> None:
        self.lisa = lisa

    def __call__(self, frame: EncodedFrame, turn: Turn) -> SegmentationResult:
        """The result of a turn whose expected answer stands in the prompt."""
        model, prompt = self.lisa.model, self._prompt(turn)
        if self._is_mask_only(prompt):
            return self.lisa.segment(frame, turn.question, sentence=turn.is_sentence)
        (forced,) = teacher_forced(model, frame, prompt.question, prompt.answer or MASK_ANSWER)
        found = MaskLogits(forced.logits, forced.coarse, forced.candidate)
        target = model.target(frame, turn.question, found, forced.probability)
        return SegmentationResult(turn.question, "", (target,), seg_probability=forced.probability)

    def together(self, frame: EncodedFrame, turns: Sequence[Turn]) -> list[SegmentationResult] | None:
        """What a call returns for each of several turns, in one batch; None in a style that is asked one at a time."""
        model = self.lisa.model.about(frame)
        if not all(self._is_mask_only(self._prompt(turn)) for turn in turns):
            return None
        queries = [check_query(turn.question, model.tokenizer) for turn in turns]
        return segment_many(model, frame, queries, [turn.is_sentence for turn in turns])

    def _prompt(self, turn: Turn) -> QueryPrompt:
        model = self.lisa.model
        return model.style.turn_prompt(turn.question, model.network.config.mask_query, sentence=turn.is_sentence)

    def _is_mask_only(self, prompt: QueryPrompt) -> bool:
        """Whether a turn is the engine's mask-only query: an expected answer, and a mask that is always drawn."""
        style = self.lisa.model.style
        return bool(prompt.answer) and not style.rejects and not style.chooses


class Generative:
    """What a robot gets: the masks of the answer that the model writes to the same question, all of them together."""

    mode = "generative"

    def __init__(self, lisa: Lisa, max_new_tokens: int = MAX_NEW_TOKENS) -> None:
        self.lisa, self.max_new_tokens = lisa, max_new_tokens

    def __call__(self, frame: EncodedFrame, turn: Turn) -> SegmentationResult:
        """The answer to a turn's question, which is generated."""
        model = self.lisa.model
        prompt = model.style.turn_prompt(turn.question, model.network.config.mask_query, sentence=turn.is_sentence)
        return self.lisa.chat(frame, prompt.question, max_new_tokens=self.max_new_tokens)


def encode_sample(lisa: Lisa, sample: Sample) -> EncodedFrame:
    """The frame of a sample's image, with the sample's own proposals where it has some, as many as the system takes."""
    if sample.proposals is None:
        return lisa.encode(sample.image)
    options = lisa.model.proposal_options
    return lisa.encode(sample.image, sample.proposals if options is None else sample.proposals.largest(options.limit))


def proposals_of(frame: EncodedFrame) -> Proposals | None:
    """The proposals that answers about a frame choose among; None for a system that draws its masks."""
    regions = getattr(frame, "regions", None)
    return getattr(frame, "proposals", None) if regions is None else regions.proposals


def model_digest(lisa: Lisa) -> str:
    """Tells models apart whatever they are called: by their weights, their configuration and what they are fed with.

    The files of the tokenizer and of the vision tower's image processor lie beside the weights and change apart; so do
    what proposes and embeds candidates, and the settings for it.
    """
    tower = getattr(lisa.network, "vision_tower", None)
    parts = [weights_digest(lisa.network), lisa.tokenizer.digest, repr(None if tower is None else tower.preprocess)]
    model = getattr(lisa, "model", None)
    if options := getattr(model, "proposal_options", None):
        beside = [getattr(model, name, None) for name in ("tower", "sam")]  # of an ELISA, no parts of its network
        parts += [repr(options), *(weights_digest(one) for one in beside if one is not None)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def weights_digest(network: "nn.Module") -> str:
    """Tells checkpoints apart whatever they are called: a digest of their weights and of their configuration.

    Of each weight its bits' sum, which is the same on every device and changes with any of them, and some numbers as
    they are, which change with their order.
    """
    import torch  # not above: lisa_ros.inference has to be imported before it, see cpu_threads

    digest = hashlib.sha256(repr(_settings(network)).encode())
    for name, weight in sorted(network.named_parameters()):
        for part in stored_tensors(weight.detach()):
            flat = part.reshape(-1)
            some = flat[:: max(1, len(flat) // 64)].contiguous().view(torch.uint8).cpu().numpy()
            digest.update(name.encode() + some.tobytes() + _sum_of_bits(flat).to_bytes(8, "little", signed=True))
    return digest.hexdigest()[:16]


def _settings(network: "nn.Module") -> list[tuple[str, object]]:
    """The configuration without the place of the vision tower, which is identified by its weights."""
    config = getattr(network, "config", None)
    return [] if config is None else sorted((n, repr(v)) for n, v in vars(config).items() if n != "vision_tower")


def _sum_of_bits(flat: "torch.Tensor") -> int:
    """Of the bits as whole numbers of 8 bytes, modulo 2**64."""
    import torch

    data = flat.contiguous().view(torch.uint8)
    data = torch.nn.functional.pad(data, (0, -len(data) % 8))
    if data.data_ptr() % 8:
        data = data.clone()
    return int(data.view(torch.int64).sum())
