"""`Lisa`: loads a checkpoint, encodes images, answers queries about them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from lisa_ros.errors import InvalidQueryError
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.inference.batch import answer_batch
from lisa_ros.inference.conversation import Conversation, check_limit
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.inference.loaded_model import Cancelled, LoadedModel
from lisa_ros.inference.loading import load_model, ready_device
from lisa_ros.inference.teacher_forcing import segment_many, segment_phrases
from lisa_ros.model.elisa.files import find_elisa
from lisa_ros.model.memory import memory_report, weight_bytes
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.query_text import check_query, is_sentence
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.types import Finished, MaskReady, SegmentationResult, TextDelta


class Lisa:
    """Language-instructed segmentation with one loaded checkpoint. To be used by one thread at a time.

    Attributes:
        model: The loaded checkpoint: network, tokenizer, prompt template, device.

    Example:
        >>> lisa = Lisa.from_pretrained("tabletop")
        >>> frame = lisa.encode(image)  # (H, W, 3) uint8 RGB
        >>> result = lisa.segment(frame, "the red mug")
        >>> result.targets[0].mask.shape == image.shape[:2]
        True
        >>> lisa.chat(frame, "What can I drink from?").answer
        'From the red mug.'
    """

    def __init__(self, model: LoadedModel) -> None:
        """An engine around a model that is loaded already; `from_pretrained` loads one."""
        self.model = model
        self._weight_bytes = weight_bytes(model.network)  # counted once: the node reports it with every answer

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        vision_tower: str | Path | None = None,
        device: str = "auto",
        precision: str = "fp32",
        sam: Mapping[str, object] | None = None,
        conv_type: str | None = None,
        style: str | None = None,
        base: str | Path | None = None,
        sam_checkpoint: str | Path | None = None,
        lora_alpha: float = 16,
        alphaclip: str | Path | None = None,
        proposal_head: Mapping[str, object] | None = None,
        dinov2: str | Path | None = None,
        proposal_options: Mapping[str, object] | None = None,
        quality_calibration: str | Path | None = None,
        threads: int = 0,
        compile: str = "auto",
    ) -> "Lisa":
        """Loads a checkpoint.

        Args:
            source: A directory in the published layout, a hub id, the name of a packaged model, or, with `base`, a
                file of un-merged weights or DeepSpeed's directory of a run.
            vision_tower: Path or hub name of the CLIP tower if it is not the one that the checkpoint names.
            device: "auto" (GPU if there is one), "cpu", "cuda", "cuda:N".
            precision: "fp32", "bf16", "fp16"; "int8", "int4" or "nf4" for the language model's linear layers alone.
            sam: Segment Anything's sizes where the weights' shapes do not tell them.
            conv_type: The prompt template, in place of the checkpoint's.
            style: How prompts and answers are worded and grounded, if no file tells it; see `lisa_ros.model.styles`.
            base: For un-merged weights (`gsva-7b-ft-gres.bin`, which needs `style` too, or LLM-Seg's directories):
                directory of the LLaVA that their training began with.
            sam_checkpoint: For un-merged weights that lack it, and for an ELISA: Segment Anything's file.
            lora_alpha: Of un-merged weights' adapters.
            alphaclip: Of an ELISA: AlphaCLIP's file, or its folder, if it is not where its configuration says.
            proposal_head: Of LLM-Seg: sizes and the rule of choice that no file tells; see `ProposalHeadConfig`.
            dinov2: Of LLM-Seg: file of DINOv2's weights where the checkpoint does not hold them.
            proposal_options: Of LLM-Seg and ELISA: how proposals are made, if not as usual; see `ProposalOptions`.
            quality_calibration: File that `lisa-ros eval --calibrate` made, in place of the checkpoint's own.
            threads: Torch's threads on the CPU, see `cpu_threads.set_threads`; 0 for torch's own choice.
            compile: Whether the step of the token loop is compiled, see `compiled_step`: "auto", "always", "never".

        Returns:
            The engine, its weights on the device.

        Raises:
            CheckpointError: The files are missing, damaged or of another kind; the message names what is wrong.
            ConfigurationError: An argument is out of range.
            MemoryBudgetError: The weights do not fit the device.
        """
        where = ready_device(device, threads)
        own = {"quality_calibration": quality_calibration, "proposal_options": proposal_options, "compile": compile}
        if elisa := find_elisa(source):
            from lisa_ros.inference.elisa.engine import ElisaEngine  # above this module

            files = {"base": base, "alphaclip": alphaclip, "sam_checkpoint": sam_checkpoint, "sam": sam}
            return ElisaEngine.load(elisa, device=where, precision=precision, style=style, **files, **own)
        options = {"vision_tower": vision_tower, "sam": sam, "conv_type": conv_type, "style": style}
        options |= {"proposal_head": proposal_head, "dinov2": dinov2}
        if base is not None:
            options |= {"base": base, "sam_checkpoint": sam_checkpoint, "lora_alpha": lora_alpha}
        return cls(load_model(source, device=where, precision=precision, options=options, **own))

    @property
    def network(self) -> LisaNetwork:
        """The network, on its device."""
        return self.model.network

    @property
    def tokenizer(self) -> LisaTokenizer:
        """The checkpoint's tokenizer."""
        return self.model.tokenizer

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def provenance(self) -> str:
        """What answers come from, in words: checkpoint, precision, prompt template."""
        return self.model.provenance

    def encode(self, image: np.ndarray, proposals: Proposals | None = None) -> EncodedFrame:
        """Computes everything about an image that no query changes.

        Args:
            image: (H, W, 3) uint8, RGB.
            proposals: For a style that chooses among proposals: those of the image, where there are some already, of
                which the largest are taken; None has Segment Anything make them.

        Returns:
            The frame, for any number of queries to this engine.

        Raises:
            InvalidImageError: The image is of another shape or dtype.
            ConfigurationError: There are proposals, and the style draws its masks.
            MemoryBudgetError: The device's memory does not suffice.
        """
        return self.model.encode(image, proposals)

    def segment(
        self, frame: EncodedFrame, text: str, *, sentence: bool | None = None, cancelled: Cancelled | None = None
    ) -> SegmentationResult:
        """Mask of what `text` means, without generating an answer: one pass over the question.

        Args:
            frame: What `encode` returned.
            text: A phrase ("the red mug") or a sentence ("Where can I sit?").
            sentence: Whether `text` asks or tells, and is asked as it is, rather than names a thing; None: by its last
                character.
            cancelled: Called before each stage; True stops the query.

        Returns:
            A result with an empty answer and one target; with none if the probability of [SEG] is below the
            checkpoint's `seg_threshold`.

        Raises:
            InvalidQueryError: The text is empty, too long, or holds tokens of the prompt.
            InvalidImageError: The frame is another engine's.
            QueryCancelled: `cancelled` returned True.
            MemoryBudgetError: The device's memory does not suffice.
        """
        (result,) = self.segment_many(frame, [text], sentence=sentence, cancelled=cancelled)
        return result

    def segment_many(
        self,
        frame: EncodedFrame,
        texts: Sequence[str],
        *,
        sentence: bool | None = None,
        cancelled: Cancelled | None = None,
    ) -> list[SegmentationResult]:
        """What `segment` returns for each of several queries that do not know one another, all in one batch.

        Args:
            frame: What `encode` returned.
            texts: Phrases and sentences.
            sentence: As for `segment`, of all of them; None: of each by its last character.
            cancelled: Called before each stage; True stops all of them.

        Returns:
            A result for each text, in their order; `seconds` of each are those of all together. Errors are `segment`'s.

        Example:
            >>> mug, seat = lisa.segment_many(frame, ["the mug", "Where can I sit?"])
        """
        model = self.model.about(frame)
        if isinstance(texts, str):
            raise InvalidQueryError(f"texts must be a list of queries, not the text {texts!r:.80}")
        queries = [check_query(text, model.tokenizer) for text in texts]
        sentences = [is_sentence(query) if sentence is None else sentence for query in queries]
        return segment_many(model, frame, queries, sentences, cancelled=cancelled)

    def segment_phrases(
        self,
        frame: EncodedFrame,
        phrases: Sequence[str],
        *,
        max_new_tokens: int | None = None,
        cancelled: Cancelled | None = None,
    ) -> SegmentationResult:
        """Which of several things are in the image, and where: one query for all of them.

        Styles tell it each in their way: LISA by the probability of [SEG] and the checkpoint's `seg_threshold`, GSVA by
        its [SEG] or [REJ] for each phrase, SESAME by the words it generates, CoReS in two steps.

        Args:
            frame: What `encode` returned.
            phrases: Names of things ("the mug", "the fork"), at most 64.
            max_new_tokens: Longest answer to each phrase in tokens, where the style generates one; None for 512.
            cancelled: Called before each stage; True stops the query.

        Returns:
            A result with a target for each phrase, in their order: "segmented" with its mask or "absent", each with the
            probability that it is there. Its answer is empty where the style generates none.

        Raises:
            InvalidQueryError: There is no phrase, or too many; one is empty, too long, or holds tokens of the prompt.
            LisaError: As of `segment`; ConfigurationError for `max_new_tokens`.

        Example:
            >>> result = lisa.segment_phrases(frame, ["the mug", "the fork"])
            >>> [(target.phrase, target.kind) for target in result.targets]
            [('the mug', 'segmented'), ('the fork', 'absent')]
        """
        model = self.model.about(frame)
        if isinstance(phrases, str):
            raise InvalidQueryError(f"phrases must be a list of names, not the text {phrases!r:.80}")
        checked = [check_query(phrase, model.tokenizer) for phrase in phrases]
        limit = check_limit(max_new_tokens)
        return segment_phrases(model, frame, checked, limit=limit, cancelled=cancelled)

    def chat(
        self, frame: EncodedFrame, text: str, *, max_new_tokens: int | None = None, cancelled: Cancelled | None = None
    ) -> SegmentationResult:
        """Generated answer to one query, with a target for each grounding token in it; see `Conversation.ask`."""
        return self.conversation(frame).ask(text, max_new_tokens=max_new_tokens, cancelled=cancelled)

    def chat_batch(
        self,
        frame: EncodedFrame,
        texts: Sequence[str],
        *,
        max_new_tokens: int | None = None,
        unmasked_padding: bool = False,
        cancelled: Cancelled | None = None,
    ) -> list[SegmentationResult]:
        """Generated answers to several queries that do not know one another, at once.

        Args:
            frame: What `encode` returned.
            texts: The queries.
            max_new_tokens: Longest answer in tokens; None for 512.
            unmasked_padding: Reproduces SESAME's evaluation, where shorter queries are padded in front to the length of
                the longest without a mask, so that answers depend on the other queries about the image. False gives
                every query the answer that it has alone.
            cancelled: Called before every token; True stops all of them.

        Returns:
            What `chat` returns for each, in their order.

        Raises:
            ConfigurationError: `max_new_tokens` is not a whole number of at least 1.
            LisaError: As of `segment`.
        """
        model = self.model.about(frame)
        queries, limit = [check_query(text, model.tokenizer) for text in texts], check_limit(max_new_tokens)
        return answer_batch(model, frame, queries, limit, unmasked_padding=unmasked_padding, cancelled=cancelled)

    def stream(
        self, frame: EncodedFrame, text: str, *, max_new_tokens: int | None = None, cancelled: Cancelled | None = None
    ) -> Iterator[TextDelta | MaskReady | Finished]:
        """What `chat` returns, as it comes: text, each mask the moment it is known, and `Finished` last.

        See `Conversation.stream`.
        """
        return self.conversation(frame).stream(text, max_new_tokens=max_new_tokens, cancelled=cancelled)

    def conversation(self, frame: EncodedFrame, history: Sequence[tuple[str, str]] = ()) -> Conversation:
        """Several queries about one frame, each knowing those before.

        Args:
            frame: What `encode` returned.
            history: (question, answer) pairs that were said before.
        """
        return Conversation(self.model, frame, history)

    def memory(self) -> dict[str, int]:
        """Bytes of device memory: `weights`, `allocated` now, `peak` so far."""
        return memory_report(self._weight_bytes, self.model.device)
