"""A stand-in for the model, with its interface and none of its weights: finds colours and does what the words tell it.

Words of a query: red, green, blue (a mask each, absent where the image has none of it); "sleep 1.5" (s, before the
masks, stops when cancelled); "block 1.5" (s, deaf to cancelling); "talk 20" (so many words, before the masks); "limit"
(says max_new_tokens); "oom", "crash", "refuse" (raise). Words of the model's name: "load=2" (s to load), "encode=0.5"
(s to encode), "broken" (CheckpointError at load), "explode" (RuntimeError at load).
"""

import re
import time
from dataclasses import dataclass, replace

import numpy as np

from lisa_ros.errors import CheckpointError, InvalidQueryError, MemoryBudgetError, QueryCancelled
from lisa_ros.types import ABSENT, SEGMENTED, Finished, MaskReady, SegmentationResult, Target, TextDelta

COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class ScriptedFrame:
    image: np.ndarray
    number: int


class ScriptedConversation:
    def __init__(self, engine, frame):
        self._engine, self._frame, self._turns = engine, frame, 0

    def stream(self, text, **options):
        for event in self._engine.stream(self._frame, text, **options):
            if isinstance(event, Finished):
                self._turns += 1
                result = event.result
                yield Finished(
                    SegmentationResult(text, f"turn {self._turns}: {result.answer}", result.targets, result.seconds)
                )
            else:
                yield event


class ScriptedEngine:
    device = "cpu"

    def __init__(self, parameters):
        if "broken" in parameters.model:
            raise CheckpointError(f"{parameters.model}: no file model.safetensors in it")
        if "explode" in parameters.model:
            raise RuntimeError("a loader's own bug")
        self._encode_seconds = _number("encode=", parameters.model)
        self._encoded = 0
        self.provenance = f"{parameters.model} {parameters.precision} scripted"
        time.sleep(_number("load=", parameters.model))

    def memory(self):
        return {"allocated": 0}

    def encode(self, image):
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        time.sleep(self._encode_seconds)
        self._encoded += 1
        return ScriptedFrame(image, self._encoded)

    def segment(self, frame, text, *, cancelled=None):
        _misbehave(text)
        _wait(_number("sleep ", text), cancelled)
        target = _targets(frame.image, text)[:1]
        return SegmentationResult(text, "", target, {"prefill": 0.001, "total": 0.001}, seg_probability=0.9)

    def segment_phrases(self, frame, phrases, *, max_new_tokens=None, cancelled=None):
        text = ", ".join(phrases)
        _misbehave(text)
        _wait(_number("sleep ", text), cancelled)
        targets = tuple(_phrase(frame.image, phrase) for phrase in phrases)
        return SegmentationResult(
            text, f"limit {max_new_tokens}" if "limit" in text else "", targets, {"prefill": 0.001}
        )

    def conversation(self, frame, history=()):
        return ScriptedConversation(self, frame)

    def stream(self, frame, text, *, max_new_tokens=None, cancelled=None):
        _misbehave(text)
        start = time.perf_counter()
        answer = f"Frame {frame.number}: " + (f"limit {max_new_tokens} " if "limit" in text else "")
        yield TextDelta(answer)
        _wait(_number("sleep ", text), cancelled)
        time.sleep(_number("block ", text))
        for word in range(int(_number("talk ", text))):
            _wait(0.02, cancelled)
            answer += f"word{word} "
            yield TextDelta(f"word{word} ")
        targets = _targets(frame.image, text)
        for index, target in enumerate(targets):
            answer += f"{target.phrase} "
            yield TextDelta(f"{target.phrase} ")
            yield MaskReady(index, target)
        yield Finished(SegmentationResult(text, answer.strip(), targets, {"generate": time.perf_counter() - start}))


def _targets(image, text):
    return tuple(_target(image, colour) for colour in COLOURS if colour in text)


def _target(image, colour):
    channel = COLOURS.index(colour)
    others = np.delete(image, channel, axis=2).max(axis=2)
    mask = (image[..., channel] > 150) & (others < 100)
    if not mask.any():
        return Target(colour, ABSENT, mask)
    return Target(colour, SEGMENTED, mask, np.where(mask, 4, -4).astype(np.float32), 0.98)


def _phrase(image, phrase):
    """The colour that a phrase names first; in the place of "green" the image offers red."""
    target = replace(_target(image, next(colour for colour in COLOURS if colour in phrase)), phrase=phrase)
    if target.kind == ABSENT and "green" in phrase:
        offered = replace(_target(image, "red"), phrase="the red square")
        return replace(target, probability=0.125, correction=offered.phrase, alternative=offered)
    return replace(target, probability=0.125 if target.kind == ABSENT else 0.875)


def _misbehave(text):
    if "oom" in text:
        raise MemoryBudgetError("this query needs 9.0 GB, 1.0 GB are free; ask with a shorter text or a smaller image")
    if "crash" in text:
        raise RuntimeError("scripted crash inside the model")
    if "refuse" in text:
        raise InvalidQueryError("the query holds the model's own token [SEG]")


def _wait(seconds, cancelled):
    end = time.perf_counter() + seconds
    while True:
        if cancelled is not None and cancelled():
            raise QueryCancelled("stopped between tokens")
        if time.perf_counter() >= end:
            return
        time.sleep(0.005)


def _number(key, text):
    found = re.search(re.escape(key) + r"([0-9.]+)", text)
    return float(found.group(1)) if found else 0.0
