"""One loaded engine, its cached frame and its conversations.

Used by the inference thread only; no rclpy.
"""

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lisa_ros.action import Segment
from lisa_ros.errors import InvalidImageError, InvalidRegionError, NoDepthError, NoTransformError, QueryCancelled
from lisa_ros.geometry.repair import repair_result
from lisa_ros.msg import SegmentationResult as Result
from lisa_ros.nodes.perception.clouds.cloud_job import CloudResult, cloud_job
from lisa_ros.nodes.perception.clouds.cloud_process import CloudProcess
from lisa_ros.nodes.perception.inference.followed_questions import FollowedQuestions
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.nodes.perception.queries.query import Query
from lisa_ros.nodes.perception.queries.region import Region
from lisa_ros.sensor_messages.image_messages import decode_color
from lisa_ros.types import LOST, SEGMENTED, Finished, MaskReady, SegmentationResult, TextDelta

_EMPTY = {LOST: "not seen any more", SEGMENTED: "the mask is empty"}
# (stage, answer so far, masks so far)
Progress = Callable[[int, str, int], None]


@dataclass
class InferenceOutput:
    """What came of one query.

    Attributes:
        status: Of SegmentationResult.msg.
        message: For a person; ends with the remarks.
        image: (H, W, 3) uint8 RGB that was asked about.
        result: Answer and targets.
        clouds: None where none were wanted or possible.
        seconds: Wall time of each stage, in their order.
        remarks: What is doubtful about the camera's messages.
        answer_stamp: Stamp of the image that the model was asked about, ns.
    """

    status: int
    message: str
    image: np.ndarray
    result: SegmentationResult
    clouds: CloudResult | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    answer_stamp: int = 0


class InferenceSession:
    """engine_factory(parameters) loads a model with the interface of `lisa_ros.Lisa`."""

    def __init__(self, engine_factory: Callable[[PerceptionParameters], Any]):
        self._factory = engine_factory
        self._engine: Any = None
        self._clouds = CloudProcess()
        self._conversations: dict[str, Any] = {}
        self._cached: tuple[Any, tuple, Any] | None = None  # image message, (region, bits), encoded frame
        self._followed = FollowedQuestions()

    def load(self, parameters: PerceptionParameters):
        """Loads the weights. Raises CheckpointError, and what the tracker of `follow` may raise."""
        self._clouds.start()
        self._followed.load(parameters)
        self._engine = self._factory(parameters)

    def unload(self):
        """Frees the model and the device's memory."""
        self._engine = self._cached = None
        self._followed.unload()
        self._conversations.clear()
        self._clouds.stop()
        gc.collect()
        torch = sys.modules.get("torch")  # not loaded where the engine needs none
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def stop_clouds(self):
        """Ends the process that makes clouds, for good; may be called by any thread."""
        self._clouds.stop()

    def keep_conversations(self, ids: frozenset[str]):
        """Forgets all conversations but these."""
        for conversation_id in self._conversations.keys() - ids:
            del self._conversations[conversation_id]

    @property
    def provenance(self) -> str:
        """Checkpoint, precision and prompt template."""
        return str(self._engine.provenance)

    def memory(self) -> dict[str, int]:
        """Bytes by name, as the engine reports them, and where it runs."""
        return {"device": str(self._engine.device), **self._engine.memory()}

    def answer(self, query: Query, progress: Progress) -> InferenceOutput:
        """Answers one query about its frame.

        Raises the typed errors of the core, and whatever a model may raise besides.
        """
        seconds = {"queued": query.started - query.accepted}
        message, region, bits = query.frame.image, query.region, query.request.parameters.image_bits
        image, remark = _timed(seconds, "convert", lambda: decode_color(message, bits))
        stop_if_cancelled(query)
        progress(Segment.Feedback.ENCODING, "", 0)

        def ask() -> SegmentationResult:
            view = image if region is None else region.crop(image)
            encoded = _timed(seconds, "encode", lambda: self._encode(message, region, bits, view))
            stop_if_cancelled(query)
            progress(Segment.Feedback.GENERATING, "", 0)
            result = repair_result(self._ask(query, encoded, progress), query.request.parameters.mask)
            return result if region is None else region.enlarge(result, image.shape[:2])

        if query.request.followed_as:
            result, answer_stamp = self._followed.result(query, image, ask)
        else:
            result, answer_stamp = ask(), query.frame.stamp
        seconds.update({stage: value for stage, value in result.seconds.items() if stage not in ("encode", "total")})
        remarks = tuple(text for text in (remark, query.frame.clock_remark) if text)
        output = InferenceOutput(
            Result.OK, "", image, result, seconds=seconds, remarks=remarks, answer_stamp=answer_stamp
        )
        if not any(target.mask.any() for target in result.targets):
            output.status, output.message = Result.NO_TARGET, nothing_found(result)
        elif query.request.with_cloud:
            stop_if_cancelled(query)
            masks = sum(target.kind == SEGMENTED for target in result.targets)
            progress(Segment.Feedback.CLOUD, result.answer, masks)
            _timed(seconds, "cloud", lambda: self._add_clouds(query, output))
        output.message = "; ".join(text for text in (output.message, *output.remarks) if text)
        seconds["total"] = time.perf_counter() - query.accepted
        return output

    def _encode(self, message, region: Region | None, bits: int, image: np.ndarray):
        # Many questions about one image share its features; the message object is the image's identity.
        if self._cached is None or self._cached[0] is not message or self._cached[1] != (region, bits):
            self._cached = None  # free the old features before the new ones need the memory
            try:
                self._cached = (message, (region, bits), self._engine.encode(image))
            except InvalidImageError as error:
                if region is None:
                    raise
                raise InvalidRegionError(f"region {region} cannot be asked about: {error}") from error
        return self._cached[2]

    def _ask(self, query: Query, encoded, progress: Progress) -> SegmentationResult:
        request, parameters = query.request, query.request.parameters
        if request.phrases:
            return self._ask_phrases(query, encoded, progress)
        if parameters.mode == "mask" and not request.conversation_id:
            return self._engine.segment(encoded, request.text, cancelled=query.cancel.is_set)
        limits = {"max_new_tokens": parameters.max_new_tokens, "cancelled": query.cancel.is_set}
        if request.conversation_id:
            events = self._conversation(request.conversation_id, encoded).stream(request.text, **limits)
        else:
            events = self._engine.stream(encoded, request.text, **limits)
        return _collect(events, progress)

    def _ask_phrases(self, query: Query, encoded, progress: Progress) -> SegmentationResult:
        def cancelled() -> bool:
            progress(Segment.Feedback.GENERATING, "", 0)  # the model asks between its steps: it does not stall
            return query.cancel.is_set()

        request = query.request
        limit = request.parameters.max_new_tokens
        return self._engine.segment_phrases(encoded, request.phrases, max_new_tokens=limit, cancelled=cancelled)

    def _add_clouds(self, query: Query, output: InferenceOutput):
        timeout = query.request.parameters.cloud_timeout
        try:
            job, frame_id, remarks = cloud_job(query, output.image, output.result)
            output.remarks += remarks
            output.clouds = replace(self._clouds.compute(job, query.cancel.is_set, timeout), frame_id=frame_id)
            output.message = "; ".join(output.clouds.notes)
        except NoDepthError as error:
            output.status, output.message = Result.NO_DEPTH, str(error)
        except NoTransformError as error:
            output.status, output.message = Result.NO_TRANSFORM, str(error)

    def _conversation(self, conversation_id: str, encoded):
        if conversation_id not in self._conversations:
            self._conversations[conversation_id] = self._engine.conversation(encoded)
        return self._conversations[conversation_id]


def stop_if_cancelled(query: Query):
    """Raises QueryCancelled; called between stages."""
    if query.cancel.is_set():
        raise QueryCancelled("cancelled")


def _collect(events, progress: Progress) -> SegmentationResult:
    text, masks = "", 0
    for event in events:
        if isinstance(event, TextDelta):
            text += event.text
            progress(Segment.Feedback.GENERATING, text, masks)
        elif isinstance(event, MaskReady):
            masks += event.target.kind == SEGMENTED
            progress(Segment.Feedback.MASK, text, masks)
        elif isinstance(event, Finished):
            return event.result
    raise RuntimeError("the engine's stream ended without a result")


def nothing_found(result: SegmentationResult) -> str:
    """The message of a result without a single mask pixel: what is absent or lost, and what has an empty mask."""
    if result.reason:
        return result.reason
    named = {
        kind: ", ".join(target.phrase or "the object" for target in result.targets if target.kind == kind)
        for kind in (LOST, SEGMENTED)
    }
    parts = [result.absence]
    parts += [f"{what}: {named[kind]}" for kind, what in _EMPTY.items() if named[kind]]
    return "; ".join(filter(None, parts)) or "the model segmented nothing for this query"


def _timed(seconds: dict[str, float], stage: str, call: Callable):
    start = time.perf_counter()
    value = call()
    seconds[stage] = time.perf_counter() - start
    return value
