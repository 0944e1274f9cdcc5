"""`ElisaEngine`: loads an ELISA, encodes images with their candidate masks, answers queries about them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lisa_ros.errors import ConfigurationError, InvalidQueryError
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.inference.batch import MAX_NEW_TOKENS, ROWS_AT_ONCE, answer_batch
from lisa_ros.inference.conversation import Conversation, check_limit
from lisa_ros.inference.elisa.model import CandidateFrame, CandidateStream, ElisaModel
from lisa_ros.inference.engine import Lisa
from lisa_ros.inference.loaded_model import Cancelled, absent_target, total
from lisa_ros.inference.precision import float_type, place
from lisa_ros.model.elisa.checkpoint import load_elisa, proposal_options
from lisa_ros.model.elisa.files import ElisaFiles, sam_file
from lisa_ros.model.elisa.network import ElisaConfig
from lisa_ros.model.elisa.style import STYLE_NAMES, elisa_style
from lisa_ros.model.files import expand_home
from lisa_ros.model.memory import memory_guard
from lisa_ros.model.proposals import CandidateProvider
from lisa_ros.model.query_text import MAX_PHRASES, check_query, is_sentence
from lisa_ros.model.sam import SegmentAnything
from lisa_ros.model.sam_config import infer_sam_config
from lisa_ros.model.weights import check_finite, check_weights, read_weight_file
from lisa_ros.types import SEGMENTED, SegmentationResult, Target


class ElisaEngine(Lisa):
    """What `Lisa` is for LISA, for an ELISA; `Lisa.from_pretrained` returns it where the files are one's.

    Each target of an answer is one of the image's candidate masks, which its `candidate` tells.

    Example:
        >>> lisa = Lisa.from_pretrained("elisa", sam_checkpoint="sam_vit_b_01ec64.pth")
        >>> result = lisa.chat(lisa.encode(image), "What can I cut bread with?")
        >>> result.answer, result.targets[0].candidate.index
        ('The knife, it has a serrated blade.', 7)
    """

    model: ElisaModel

    @classmethod
    def load(
        cls,
        files: ElisaFiles,
        *,
        device: torch.device,
        precision: str,
        style: str | None,
        base: str | Path | None,
        alphaclip: str | Path | None,
        sam_checkpoint: str | Path | None,
        sam: Mapping[str, object] | None,
    ) -> "ElisaEngine":
        """Loads an ELISA; `Lisa.from_pretrained` says what the arguments mean and what is raised."""
        preset, dtype = elisa_style(style), float_type(precision, device)
        if preset is None:
            raise ConfigurationError(f"{files.weights} is an ELISA; style {style!r} must be {' or '.join(STYLE_NAMES)}")
        with memory_guard(device, "model"):
            checkpoint = load_elisa(files, base=base, alphaclip=alphaclip, closed=preset.closed, dtype=dtype)
            text = checkpoint.network.llava.config.text_config
            config = ElisaConfig(preset.name, preset.mask_query, text.max_position_embeddings)
            checkpoint.network.config = config
            place(checkpoint.network, precision, dtype, device)
            checkpoint.tower.requires_grad_(False).to(device)
            provider, sam_checkpoint = None, sam_checkpoint or sam_file(files.root)
            if sam_checkpoint is not None:
                segmenter = load_sam(sam_checkpoint, sam).to(device)
                provider = CandidateProvider(segmenter, proposal_options(files.root, square=not preset.letterbox))
        model = ElisaModel(
            checkpoint, style=preset, device=device, precision=precision, name=files.weights.stem, provider=provider
        )
        return cls(model)

    def encode(self, image: np.ndarray, proposals: Proposals | None = None) -> CandidateFrame:
        """Computes everything about an image that no query changes.

        Args:
            image: (H, W, 3) uint8, RGB.
            proposals: The masks that answers choose among; None has Segment Anything propose them.

        Returns:
            The frame, for any number of queries to this engine.

        Raises:
            InvalidImageError: The image is of another shape or dtype.
            ConfigurationError: There are no proposals and nothing to make them with, or too many.
            MemoryBudgetError: The device's memory does not suffice.
        """
        return self.model.encode(image, proposals)

    def conversation(self, frame: CandidateFrame, history: Sequence[tuple[str, str]] = ()) -> Conversation:
        """See Lisa."""
        return Conversation(self.model.about(frame), frame, history, grounding=CandidateStream)

    def chat_batch(
        self,
        frame: CandidateFrame,
        texts: Sequence[str],
        *,
        max_new_tokens: int | None = None,
        unmasked_padding: bool = False,
        cancelled: Cancelled | None = None,
    ) -> list[SegmentationResult]:
        """See Lisa."""
        model = self.model.about(frame)
        queries, limit = [check_query(text, model.tokenizer) for text in texts], check_limit(max_new_tokens)
        return answer_batch(
            model, frame, queries, limit,
            unmasked_padding=unmasked_padding, cancelled=cancelled, grounding=CandidateStream,
        )  # fmt: skip

    def segment_many(
        self,
        frame: CandidateFrame,
        texts: Sequence[str],
        *,
        sentence: bool | None = None,
        cancelled: Cancelled | None = None,
    ) -> list[SegmentationResult]:
        """See Lisa: an answer is generated to each text, and its masks are one target."""
        if isinstance(texts, str):
            raise InvalidQueryError(f"texts must be a list of queries, not the text {texts!r:.80}")
        queries = [check_query(text, self.model.tokenizer) for text in texts]
        sentences = [is_sentence(query) if sentence is None else sentence for query in queries]
        results = self._answered(frame, queries, sentences, MAX_NEW_TOKENS, cancelled)
        return [replace(one, targets=tuple(t for t in one.targets if t.kind == SEGMENTED)) for one in results]

    def segment_phrases(
        self,
        frame: CandidateFrame,
        phrases: Sequence[str],
        *,
        max_new_tokens: int | None = None,
        cancelled: Cancelled | None = None,
    ) -> SegmentationResult:
        """See Lisa: an answer is generated for each phrase, and its masks are the phrase's, as one target."""
        if isinstance(phrases, str):
            raise InvalidQueryError(f"phrases must be a list of names, not the text {phrases!r:.80}")
        if not 0 < len(phrases) <= MAX_PHRASES:
            raise InvalidQueryError(f"{len(phrases)} phrases in one query; it takes 1 to {MAX_PHRASES}")
        checked = [check_query(phrase, self.model.tokenizer) for phrase in phrases]
        results = self._answered(frame, checked, [False] * len(checked), check_limit(max_new_tokens), cancelled)
        answer = " ".join(one.answer for one in results if one.answer)
        targets = tuple(target for one in results for target in one.targets)
        truncated, score = any(one.truncated for one in results), targets[0].probability
        query = ", ".join(checked)
        return SegmentationResult(query, answer, targets, results[0].seconds, truncated, score, frame.reason)

    def _answered(
        self,
        frame: CandidateFrame,
        queries: Sequence[str],
        sentences: Sequence[bool],
        limit: int,
        cancelled: Cancelled | None,
    ) -> list[SegmentationResult]:
        """For each query its answer, with one target; `seconds` of each are those of all together."""
        model, style = self.model.about(frame), self.model.style
        questions = [
            prompt.question
            for query, sentence in zip(queries, sentences, strict=True)
            for prompt in style.query_prompts([query], style.mask_query, sentence=sentence)
        ]
        results = answer_batch(model, frame, questions, limit, cancelled=cancelled, grounding=CandidateStream)
        seconds = total(
            {
                "encode": frame.seconds,
                "generate": sum(one.seconds["generate"] for one in results[::ROWS_AT_ONCE]),  # of a batch together
                "decode_masks": sum(one.seconds["decode_masks"] for one in results),
            }
        )
        return [
            replace(one, query=query, targets=(joined_target(frame, query, one.targets),), seconds=seconds)
            for query, one in zip(queries, results, strict=True)
        ]


def joined_target(frame: CandidateFrame, phrase: str, targets: Sequence[Target]) -> Target:
    """The masks of one answer as one target, whose candidate is the best of them; absent without any."""
    found = [target for target in targets if target.mask.any()]
    if not found:
        return absent_target(frame, phrase, 0.0)
    best = max(found, key=lambda target: target.candidate.score)
    mask = np.logical_or.reduce([target.mask for target in found])
    logits = np.maximum.reduce([target.logits for target in found])
    return replace(best, phrase=phrase, mask=mask, logits=logits, probability=found[0].probability)


def load_sam(path: str | Path, sizes: Mapping[str, object] | None = None) -> SegmentAnything:
    """Segment Anything from its published file, in eval mode on the CPU.

    sizes: what shapes do not tell, as `sam` of `Lisa.from_pretrained`. Raises CheckpointError.
    """
    path = Path(expand_home(path))
    weights = read_weight_file(path)
    sam = SegmentAnything(infer_sam_config(weights, sizes))
    expected = sam.state_dict()
    check_weights(weights, expected, [key for key in weights if key.startswith("pixel_")], path)
    check_finite(weights, path)
    sam.load_state_dict({key: weights[key] for key in expected})
    return sam.eval().requires_grad_(False)
