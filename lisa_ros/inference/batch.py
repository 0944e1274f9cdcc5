"""Several queries about one frame, answered at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.inference.generation import next_logits
from lisa_ros.inference.grounding_stream import GroundingStream
from lisa_ros.inference.growing_cache import growing_cache
from lisa_ros.inference.loaded_model import Cancelled, LoadedModel, total
from lisa_ros.model.tokenizer import IMAGE_PLACEHOLDER
from lisa_ros.types import SegmentationResult

ROWS_AT_ONCE = 8  # each holds keys and values of its whole prompt
MAX_NEW_TOKENS = 512  # unless said otherwise
MAX_TARGETS = 64  # of one answer: a model that repeats itself must not fill the memory with masks


@dataclass
class AnswerTokens:
    """What was generated for one prompt.

    Attributes:
        ids: Tokens of the answer, without its end.
        states: (1, hidden_size) for each token: the hidden state that predicted it.
        logits: (vocab_size,) next-token logits of the grounding tokens, by their index in `ids`.
        truncated: The limit of tokens was reached before the end.
    """

    ids: list[int] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)
    logits: dict[int, Tensor] = field(default_factory=dict)
    truncated: bool = True


def answer_batch(
    model: LoadedModel,
    frame: EncodedFrame,
    queries: Sequence[str],
    limit: int,
    *,
    unmasked_padding: bool = False,
    cancelled: Cancelled | None = None,
) -> list[SegmentationResult]:
    """See Lisa.chat_batch; `queries` are checked words, at most `limit` tokens of an answer each."""
    prompts = [model.prompt_ids(frame, [(model.first_question(query), None)]) for query in queries]
    width = max(map(len, prompts), default=0) if unmasked_padding else None
    results = []
    for first in range(0, len(queries), ROWS_AT_ONCE):
        part, seconds = slice(first, first + ROWS_AT_ONCE), {"encode": frame.seconds}
        with model.timed(seconds, "generate"):
            rows = generate_batch(model, frame, prompts[part], limit, unmasked_width=width, cancelled=cancelled)
        pairs = zip(queries[part], rows, strict=True)
        results += [_result(model, frame, query, row, dict(seconds)) for query, row in pairs]
    return results


def seconds_together(results: Sequence[SegmentationResult]) -> dict[str, float]:
    """Wall time of what `answer_batch` returned, one result at least: of the rows of a batch each says that of all."""
    return total(
        {
            "encode": results[0].seconds["encode"],
            "generate": sum(one.seconds["generate"] for one in results[::ROWS_AT_ONCE]),
            "decode_masks": sum(one.seconds["decode_masks"] for one in results),
        }
    )


@torch.inference_mode()
def generate_batch(
    model: LoadedModel,
    frame: EncodedFrame,
    prompts: Sequence[Sequence[int]],
    limit: int,
    *,
    unmasked_width: int | None = None,
    cancelled: Cancelled | None = None,
) -> list[AnswerTokens]:
    """Greedy answers to several prompts about one image.

    Args:
        model: The loaded model.
        frame: The image.
        prompts: Expanded ids of each prompt.
        limit: Most tokens of an answer; the model's context ends it earlier.
        unmasked_width: Pads `<unk>` before every prompt up to this length and attends to it like to words, as SESAME's
            own evaluation does: an answer then depends on how long the other queries about the image are. None: what
            pads is masked, and every answer is that of its prompt alone.
        cancelled: Asked before every token.
    """
    network, rows = model.network, [AnswerTokens() for _ in prompts]
    words = [model.answer_words(ids) for ids in prompts]
    start = min(frame.prefix.shared_with(ids) for ids in prompts) if unmasked_width is None else 0
    total_width = unmasked_width or max(map(len, prompts))
    limit, width = min(limit, model.context_length - total_width), total_width - start
    pads = torch.tensor([[total_width - len(ids)] for ids in prompts], device=model.device)
    padded = [[model.tokenizer.unk_id] * (total_width - len(ids)) + list(ids[start:]) for ids in prompts]
    visual = frame.visual.expand(len(prompts), -1, -1)
    embeddings = network.splice(torch.tensor(padded, device=model.device), visual)
    cache = frame.prefix.copy(start, len(prompts)) if start else growing_cache()
    place = torch.arange(width, device=model.device)
    mask, positions = None, None
    if unmasked_width is None:
        mask = torch.cat([torch.ones((len(prompts), start), device=model.device).long(), (place >= pads).long()], dim=1)
        positions = start + (place - pads).clamp(min=0)
    for index in range(limit):
        model.stop_if(cancelled)
        hidden = network.hidden_states(embeddings, attention_mask=mask, position_ids=positions, cache=cache)[:, -1]
        logits = next_logits(network, hidden)
        tokens = logits.argmax(dim=-1)
        for number, progress in enumerate(words):
            if progress is not None and rows[number].truncated:
                tokens[number] = progress.choose(logits[number])
        for number, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
            if row.truncated and token == model.tokenizer.eos_id:
                row.truncated = False
            elif row.truncated:
                row.ids.append(token)
                row.states.append(hidden[number : number + 1])
                if token in model.kinds:
                    row.logits[index] = logits[number]
        if not any(row.truncated for row in rows):
            break
        embeddings = network.embed(tokens[:, None])  # of an answer that has ended, whatever follows is not read
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones((len(rows), 1))], dim=1)
            positions = positions[:, -1:] + 1
    return rows


def _result(
    model: LoadedModel,
    frame: EncodedFrame,
    query: str,
    row: AnswerTokens,
    seconds: dict[str, float],
) -> SegmentationResult:
    text, grounding = model.answer_text(), GroundingStream(model, frame)
    for index, token in enumerate(row.ids):
        text.push(token)
        if token in model.kinds and len(grounding) < MAX_TARGETS:
            chance = model.style.presence(row.logits[index], model.kinds)
            grounding.push(model.kinds[token], row.states[index], text.phrase, chance)
    text.finish()
    with model.timed(seconds, "decode_masks"):
        for rank in grounding.ready(last=True):
            grounding.decode(rank)
    targets = grounding.result(model.tokenizer.decode(row.ids).replace(IMAGE_PLACEHOLDER, ""), query)
    score = targets[0].probability if targets else float("nan")
    return SegmentationResult(query, text.text, targets, total(seconds), row.truncated, score, frame.reason)
