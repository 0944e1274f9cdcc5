"""Targets read from expected answers without generating them: teacher forcing, mask-only queries, many phrases."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from lisa_ros.errors import InvalidQueryError
from lisa_ros.inference.batch import MAX_NEW_TOKENS, ROWS_AT_ONCE, answer_batch, seconds_together
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.inference.generation import extend, next_logits, prefill, prefill_rows
from lisa_ros.inference.loaded_model import Cancelled, LoadedModel, absent_target, total
from lisa_ros.model.grounding import TARGET_KINDS
from lisa_ros.model.query_text import MAX_PHRASES
from lisa_ros.model.styles import QueryPrompt
from lisa_ros.types import REJ, SEG, SEGMENTED, Candidate, EventKind, SegmentationResult, Target


@dataclass(frozen=True)
class ForcedTarget:
    """A target of an answer that stood in the prompt.

    Attributes:
        expected: Kind of its token in the prompt: SEG or REJ.
        argmax: Kind of the most probable token at its place; None where that grounds nothing.
        decided: What the style's official rule makes of the two.
        probability: That it is there, see `Style.presence`.
        logits: (H, W) float32 mask logits, also of what is rejected: with all targets expected to be there.
        coarse: (H, W) float32 logits of its coarse mask; None without one.
        candidate: The best of the proposals that the mask was chosen from; None where it was drawn or none was chosen.
    """

    expected: EventKind
    argmax: EventKind | None
    decided: EventKind
    probability: float
    logits: np.ndarray
    coarse: np.ndarray | None = None
    candidate: Candidate | None = None


@dataclass(frozen=True)
class AnswerStates:
    """Where an answer's events are, and the states that they are read from.

    Attributes:
        ids: Expanded ids of the prompt with the answer.
        positions: For each event the index of its token in `ids`.
        kinds: Of the events.
        states: (n, hidden_size) hidden states that the events are read from.
    """

    ids: list[int]
    positions: list[int]
    kinds: list[EventKind]
    states: Tensor


def segment_phrases(
    model: LoadedModel,
    frame: EncodedFrame,
    phrases: Sequence[str],
    *,
    limit: int = MAX_NEW_TOKENS,
    cancelled: Cancelled | None = None,
) -> SegmentationResult:
    """See Lisa.segment_phrases; `phrases` are checked words. limit: most tokens of an answer that is generated."""
    if not 0 < len(phrases) <= MAX_PHRASES:
        raise InvalidQueryError(f"{len(phrases)} phrases in one query; it takes 1 to {MAX_PHRASES}")
    prompts = model.style.query_prompts(phrases, model.network.config.mask_query, sentence=False)
    words = [", ".join(part.phrases) for part in prompts]
    parts, seconds = _answered(model, frame, prompts, words, limit, cancelled)
    targets = tuple(chain.from_iterable(part.targets for part in parts))
    answer = " ".join(part.answer for part in parts if part.answer)
    truncated = any(part.truncated for part in parts)
    score = targets[0].probability
    return SegmentationResult(", ".join(phrases), answer, targets, seconds, truncated, score, frame.reason)


def segment_many(
    model: LoadedModel,
    frame: EncodedFrame,
    queries: Sequence[str],
    sentences: Sequence[bool],
    *,
    cancelled: Cancelled | None = None,
) -> list[SegmentationResult]:
    """See Lisa.segment_many; `queries` are checked words, `sentences` says of each whether it is one."""
    style, wordings = model.style, model.network.config.mask_query
    prompts = [
        prompt
        for query, sentence in zip(queries, sentences, strict=True)
        for prompt in style.query_prompts([query], wordings, sentence=sentence)
    ]
    results, seconds = _answered(model, frame, prompts, queries, MAX_NEW_TOKENS, cancelled)
    return [
        replace(one, targets=tuple(target for target in one.targets if target.kind == SEGMENTED), seconds=seconds)
        for one in results
    ]


def teacher_forced(model: LoadedModel, frame: EncodedFrame, question: str, answer: str) -> list[ForcedTarget]:
    """The targets of an answer that stands in the prompt, as official evaluations read them.

    What the model would have decided is read with the answer as it is; masks are read in a second pass, if the answer
    rejects anything, in which every target is expected to be there.
    """
    with torch.inference_mode():
        first = answer_states(model, frame, question, answer)
        seg = next(id for id, kind in model.kinds.items() if kind == SEG)
        ids = list(first.ids)
        for position, kind in zip(first.positions, first.kinds, strict=True):
            if kind == REJ:
                ids[position] = seg
        second = first if ids == first.ids else _states(model, frame, ids)
        logits = next_logits(model.network, first.states)
        masks = model.decode_masks(frame, second.states, second.kinds, strict=True)
    found, number = [], 0
    for kind, row in zip(first.kinds, logits, strict=True):
        if kind in TARGET_KINDS:
            argmax = model.kinds.get(int(row.argmax()))
            decided = model.style.forced_kind(kind, argmax)
            probability = model.style.presence(row, model.kinds)
            found.append(ForcedTarget(kind, argmax, decided, probability, *masks[number]))
            number += 1
    return found


def answer_states(model: LoadedModel, frame: EncodedFrame, question: str, answer: str) -> AnswerStates:
    """The events of an answer, and the states that they are read from, by one pass over the prompt that holds it."""
    return _states(model, frame, model.prompt_ids(frame, [(model.first_question(question), answer)]))


def _states(model: LoadedModel, frame: EncodedFrame, ids: list[int]) -> AnswerStates:
    positions, kinds = model.events(ids)
    (states,) = prefill_rows(model.network, [ids], frame.visual, frame.prefix)
    start = len(ids) - len(states)
    at = [position + model.style.state_offset - start for position in positions]
    return AnswerStates(ids, positions, kinds, states[at])


def _answered(
    model: LoadedModel,
    frame: EncodedFrame,
    prompts: Sequence[QueryPrompt],
    queries: Sequence[str],
    limit: int,
    cancelled: Cancelled | None,
) -> tuple[list[SegmentationResult], dict[str, float]]:
    """The result of each prompt, under the words of `queries`, and the seconds of all of them together."""
    seconds = {"encode": frame.seconds}
    model.stop_if(cancelled)
    if any(prompt.answer is None for prompt in prompts):
        return _generated(model, frame, prompts, queries, limit, cancelled)
    found: list[list[Target]] = []
    if model.style.rejects:
        found = [_decided(model, frame, prompt, seconds, cancelled) for prompt in prompts]
    else:
        for first in range(0, len(prompts), ROWS_AT_ONCE):
            found += _expected(model, frame, prompts[first : first + ROWS_AT_ONCE], seconds, cancelled)
    return [
        SegmentationResult(query, "", tuple(targets), seg_probability=targets[0].probability, reason=frame.reason)
        for query, targets in zip(queries, found, strict=True)
    ], total(seconds)


def _expected(
    model: LoadedModel,
    frame: EncodedFrame,
    prompts: Sequence[QueryPrompt],
    seconds: dict[str, float],
    cancelled: Cancelled | None,
) -> list[list[Target]]:
    """Targets of a style without alternatives: the answers stand in the prompts, all of them in one pass."""
    rows, events = [], []
    for prompt in prompts:
        ids = model.prompt_ids(frame, [(model.first_question(prompt.question), prompt.answer)])
        positions, kinds = model.events(ids)
        at = [position + model.style.state_offset for position in positions]
        rows.append(ids[: max(at) + 1])  # nothing behind the last state is needed
        events.append((at, kinds))
    with model.timed(seconds, "prefill"):
        found = prefill_rows(model.network, rows, frame.visual, frame.prefix)
        states = [
            hidden[[position - (len(ids) - len(hidden)) for position in at]]
            for ids, hidden, (at, _) in zip(rows, found, events, strict=True)
        ]
        logits = [next_logits(model.network, part) for part in states]
    targets = []
    for prompt, (_, kinds), part, rowed in zip(prompts, events, states, logits, strict=True):
        model.stop_if(cancelled)
        places = [row for row, kind in zip(rowed, kinds, strict=True) if kind == SEG]
        chances = [model.style.presence(row, model.kinds) for row in places]
        targets.append(_decoded(model, frame, prompt.phrases, part, kinds, chances, seconds))
    return targets


def _decided(
    model: LoadedModel, frame: EncodedFrame, prompt: QueryPrompt, seconds: dict[str, float], cancelled: Cancelled | None
) -> list[Target]:
    """Targets of a style that rejects: at each target's place the model chooses the token that the rest then follows.

    One pass over the prompt and the answer, in pieces.
    """
    ids = model.prompt_ids(frame, [(model.first_question(prompt.question), prompt.answer)])
    positions, _ = model.events(ids)
    ids_of = {kind: id for id, kind in model.kinds.items()}
    least = model.style.threshold(model.network.config.seg_threshold)
    states, kinds, chances, cache = [], [], [], None
    for number, position in enumerate(positions):
        model.stop_if(cancelled)
        with model.timed(seconds, "prefill"):
            if cache is None:
                cache, hidden = prefill(model.network, ids[:position], frame.visual, frame.prefix)
            else:
                hidden = extend(model.network, ids[positions[number - 1] : position], cache)
            chance = model.style.presence(next_logits(model.network, hidden)[0], model.kinds)
        kinds.append(SEG if chance >= least else REJ)
        ids[position] = ids_of[kinds[-1]]
        states.append(hidden)
        chances.append(chance)
    model.stop_if(cancelled)
    return _decoded(model, frame, prompt.phrases, torch.cat(states), kinds, chances, seconds)


def _decoded(
    model: LoadedModel,
    frame: EncodedFrame,
    phrases: Sequence[str],
    states: Tensor,
    kinds: Sequence[EventKind],
    chances: Sequence[float],
    seconds: dict[str, float],
) -> list[Target]:
    """A target for each phrase, absent where it was rejected or is not probable enough."""
    least = model.style.threshold(model.network.config.seg_threshold)
    if any(chance >= least for chance in chances):
        with model.timed(seconds, "decode_masks"):
            masks = model.decode_masks(frame, states, kinds)
    targets = []
    for number, (phrase, chance) in enumerate(zip(phrases, chances, strict=True)):
        if chance >= least:
            targets.append(model.target(frame, phrase, masks[number], chance))
        else:
            targets.append(absent_target(frame, phrase, chance))
    return targets


def _generated(
    model: LoadedModel,
    frame: EncodedFrame,
    prompts: Sequence[QueryPrompt],
    queries: Sequence[str],
    limit: int,
    cancelled: Cancelled | None,
) -> tuple[list[SegmentationResult], dict[str, float]]:
    """As `_answered`, of a style of which only the generated answer tells; each prompt is about one phrase."""
    results = answer_batch(model, frame, [prompt.question for prompt in prompts], limit, cancelled=cancelled)
    found = []
    for query, prompt, result in zip(queries, prompts, results, strict=True):
        (phrase,) = prompt.phrases
        target = model.told_target(frame, phrase, result.targets)
        found.append(replace(result, query=query, targets=(target,), seg_probability=target.probability))
    return found, seconds_together(results)
