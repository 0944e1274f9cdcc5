"""`Lisa`: loads a checkpoint, encodes images, answers questions about them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lisa_ros.cpu_threads import check_wait_policy, set_threads
from lisa_ros.inference.conversation import Conversation
from lisa_ros.inference.generation import Prefix, choose, prefill, probability
from lisa_ros.inference.loaded import Cancelled, EncodedFrame, LoadedModel, total
from lisa_ros.inference.memory import memory_guard, memory_report
from lisa_ros.inference.precision import float_type, quantize, resolve_device
from lisa_ros.inference.queries import check_query, is_sentence
from lisa_ros.model.checkpoint import load
from lisa_ros.model.preprocess import check_image, sam_preprocess
from lisa_ros.model.prompts import get_template
from lisa_ros.model.sam import SamFeatures
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from lisa_ros.types import (
    Finished,
    MaskReady,
    SegmentationResult,
    Target,
    TextDelta,
)

Event = TextDelta | MaskReady | Finished


class Lisa(LoadedModel):
    """Language-instructed segmentation with one loaded checkpoint. To be used by one thread at a time."""

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
        threads: int = 0,
    ) -> "Lisa":
        """Loads a checkpoint: a directory in the published layout, a hub id, or the name of a packaged model.

        vision_tower: path or hub name of the CLIP tower if it is not the one that the checkpoint names.
        device: "auto" (GPU if there is one), "cpu", "cuda", "cuda:N".
        precision: "fp32", "bf16", "fp16"; "int8" or "nf4" for the language model's linear layers alone.
        sam: Segment Anything's sizes where the weights' shapes do not tell them; conv_type: the prompt template.
        threads: torch's on the CPU, see `cpu_threads.set_threads`; 0: its own choice.
        Raises CheckpointError naming what is wrong with the files, ConfigurationError for a bad argument,
        MemoryBudgetError if the weights do not fit.
        """
        where = resolve_device(device)
        set_threads(threads)
        if where.type == "cpu":
            check_wait_policy()
        dtype = float_type(precision, where)
        if conv_type:
            get_template(conv_type)
        with memory_guard(where, "model"):
            checkpoint = load(source, vision_tower=vision_tower, sam=sam, conv_type=conv_type, dtype=dtype)
            checkpoint.network.requires_grad_(False)
            if precision in ("int8", "nf4"):
                quantize(checkpoint.network, precision, dtype)
            checkpoint.network.to(where)
            # On the CPU the plain kernels cost no more at these lengths, and round as those of the official code.
            checkpoint.network.set_attention("eager" if where.type == "cpu" else "sdpa")
        name = Path(source).resolve().name if Path(source).is_dir() else str(source)
        return cls(checkpoint, device=where, precision=precision, name=name)

    def encode(self, image: np.ndarray) -> EncodedFrame:
        """Everything about an image that no question changes. image: (H, W, 3) uint8 RGB.

        Raises InvalidImageError, MemoryBudgetError.
        """
        check_image(image)
        started = time.perf_counter()
        with memory_guard(self.device, "image"), torch.inference_mode():
            features, visual = self._look(image)
            ids = self.tokenizer.expand_image(self._prefix_ids(), visual.shape[1])
            cache, _ = prefill(self.network, ids, visual)
            self._wait()
        height, width = image.shape[:2]
        prefix = Prefix.of(ids, cache)
        return EncodedFrame(height, width, features, visual, prefix, time.perf_counter() - started, self.mark)

    def segment(
        self,
        frame: EncodedFrame,
        text: str,
        *,
        sentence: bool | None = None,
        cancelled: Cancelled | None = None,
    ) -> SegmentationResult:
        """Mask of what `text` means, without generating an answer: one pass over the question.

        sentence: whether `text` asks or tells (and is asked as it is) rather than names a thing; None: by its last
        character. The result has no target if the probability of [SEG] is below the checkpoint's `seg_threshold`.
        Raises InvalidQueryError, InvalidImageError for a frame of another engine, QueryCancelled, MemoryBudgetError.
        """
        self.check_frame(frame)
        query = check_query(text, self.tokenizer)
        kind = "sentence" if (is_sentence(query) if sentence is None else sentence) else "phrase"
        words = self.network.config.mask_query[kind].replace("{text}", query)
        ids = self.prompt_ids(frame, [(self.first_question(words), None)])
        seconds = {"encode": frame.seconds}
        self.stop_if(cancelled)
        with self.timed(seconds, "prefill"):
            _, hidden = prefill(self.network, ids, frame.visual, frame.prefix)
            _, logits = choose(self.network, hidden)
            score = probability(logits, self.tokenizer.seg_id)
        targets: tuple[Target, ...] = ()
        self.stop_if(cancelled)
        if score >= self.network.config.seg_threshold:
            with self.timed(seconds, "decode_masks"):
                targets = (self.decode_mask(frame, hidden, query),)
        return SegmentationResult(query, "", targets, total(seconds), seg_probability=score)

    def chat(
        self, frame: EncodedFrame, text: str, *, max_new_tokens: int | None = None, cancelled: Cancelled | None = None
    ) -> SegmentationResult:
        """Generated answer to one question, with the mask of each [SEG] in it.

        cancelled: asked before every token and mask. Raises InvalidQueryError, QueryCancelled, MemoryBudgetError.
        """
        return self.conversation(frame).ask(text, max_new_tokens=max_new_tokens, cancelled=cancelled)

    def stream(
        self, frame: EncodedFrame, text: str, *, max_new_tokens: int | None = None, cancelled: Cancelled | None = None
    ) -> Iterator[Event]:
        """What `chat` returns, as it comes: text, each mask the moment its token is there, and `Finished` last."""
        return self.conversation(frame).stream(text, max_new_tokens=max_new_tokens, cancelled=cancelled)

    def conversation(self, frame: EncodedFrame, history: Sequence[tuple[str, str]] = ()) -> Conversation:
        """Several questions about one image, each knowing those before. history: (question, answer) pairs."""
        return Conversation(self, frame, history)

    def memory(self) -> dict[str, int]:
        """Bytes of device memory: `weights`, `allocated` now, `peak` so far."""
        return memory_report(self.network, self.device)

    def _prefix_ids(self) -> list[int]:
        """Ids of any prompt about an image, up to the end of the image. Not expanded."""
        ids = self.tokenizer.encode_prompt(self.template.render([(self.first_question(""), None)]))
        end = ids.index(IMAGE_TOKEN_ID) + 1
        return ids[: end + self.network.config.mm_use_im_start_end]

    def _look(self, image: np.ndarray) -> tuple[SamFeatures, Tensor]:
        network = self.network
        pixels = sam_preprocess(image, network.config.sam.image_size).to(self.device)
        features = network.encode_image(pixels)
        clip = None if network.vision_tower is None else network.vision_tower.preprocess(image).to(self.device)
        return features, network.visual_tokens(features, clip)

    def _wait(self) -> None:
        """Kernels run asynchronously on a GPU; times are taken after they end."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
