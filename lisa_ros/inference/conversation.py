"""Questions and answers about one frame, streamed."""

from collections.abc import Iterator, Sequence
from numbers import Integral

from lisa_ros.errors import ConfigurationError, InvalidQueryError
from lisa_ros.inference.batch import MAX_NEW_TOKENS, MAX_TARGETS
from lisa_ros.inference.compiled_step import TokenLoop
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.inference.generation import Prefix, greedy_token, prefill
from lisa_ros.inference.grounding_stream import GroundingStream
from lisa_ros.inference.loaded_model import Cancelled, LoadedModel, total
from lisa_ros.model.query_text import check_answer, check_query
from lisa_ros.model.tokenizer import IMAGE_PLACEHOLDER
from lisa_ros.types import Finished, MaskReady, SegmentationResult, TextDelta


class Conversation:
    """Several queries about one frame, each knowing those before; made by `Lisa.conversation`.

    It keeps the turns, and the keys and values of what was said: a further query costs its own tokens only.

    Example:
        >>> talk = lisa.conversation(lisa.encode(image))
        >>> talk.ask("What can I drink from?").answer
        'From the red mug.'
        >>> talk.ask("Where is it?").targets[0].mask.sum()
        5120
    """

    def __init__(self, model: LoadedModel, frame: EncodedFrame, history: Sequence[tuple[str, str]] = ()) -> None:
        """Begins a conversation.

        Args:
            model: The loaded model that answers.
            frame: The image, encoded by the same model.
            history: (question, answer) pairs of earlier turns; answers may hold [SEG].

        Raises:
            InvalidImageError: The frame is another model's.
            InvalidQueryError: A turn of the history cannot stand in a prompt.
        """
        self._model = model.about(frame)
        self._frame = frame
        self._prefix = frame.prefix
        self._turns: list[tuple[str, str]] = []
        for question, answer in map(_pair, history):
            question = self._question(check_query(question, model.tokenizer))
            self._turns.append((question, check_answer(answer, model.tokenizer, model.style.tokens)))

    def ask(
        self, text: str, *, max_new_tokens: int | None = None, cancelled: Cancelled | None = None
    ) -> SegmentationResult:
        """The whole answer to one query.

        Args:
            text: The query.
            max_new_tokens: Longest answer in tokens; None for 512.
            cancelled: Called before every token and mask; True stops the query.

        Returns:
            The answer, with a target for each grounding token in it.

        Raises:
            InvalidQueryError: The query is empty, too long, or holds tokens of the prompt.
            ConfigurationError: `max_new_tokens` is not a whole number of at least 1.
            QueryCancelled: `cancelled` returned True.
            MemoryBudgetError: The device's memory does not suffice.
        """
        for event in self.stream(text, max_new_tokens=max_new_tokens, cancelled=cancelled):
            if isinstance(event, Finished):
                result = event.result
        return result

    def stream(
        self, text: str, *, max_new_tokens: int | None = None, cancelled: Cancelled | None = None
    ) -> Iterator[TextDelta | MaskReady | Finished]:
        """The answer as it comes; arguments and errors as of `ask`.

        Yields:
            Text, each mask the moment it is known, and `Finished` last. The turn counts as said when `Finished` is out.
        """
        query, limit = check_query(text, self._model.tokenizer), check_limit(max_new_tokens)
        ids = self._model.prompt_ids(self._frame, [*self._turns, (self._question(query), None)])
        return self._answer(query, ids, min(limit, self._model.context_length - len(ids)), cancelled)

    def _question(self, words: str) -> str:
        return words if self._turns else self._model.first_question(words)

    def _answer(
        self, query: str, ids: list[int], limit: int, cancelled: Cancelled | None
    ) -> Iterator[TextDelta | MaskReady | Finished]:
        model, frame = self._model, self._frame
        seconds = {"encode": frame.seconds}
        text, said, grounding = model.answer_text(), [], GroundingStream(model, frame)
        truncated, offered = True, False
        words = model.answer_words(ids)
        model.stop_if(cancelled)
        with model.timed(seconds, "prefill"):
            cache, hidden = prefill(model.network, ids, frame.visual, self._prefix)
            token, logits = greedy_token(model.network, hidden, words)
        with model.compiled_for_answer() as compiled:
            loop = TokenLoop(model.network, cache, compiled)
            while True:
                if token == model.tokenizer.eos_id:
                    truncated = False
                    break
                said.append(token)
                if delta := text.push(token):
                    yield TextDelta(delta)
                model.stop_if(cancelled)
                if token in model.kinds:
                    chance = model.style.presence(logits, model.kinds)
                    grounding.push(model.kinds[token], hidden, text.phrase, chance)
                    offered = grounding.offers_first(model.tokenizer.decode(said))
                    yield from self._masks(grounding, grounding.ready(), offered, seconds)
                    model.stop_if(cancelled)
                if len(said) == limit or len(grounding) == MAX_TARGETS:
                    break
                with model.timed(seconds, "generate"):
                    hidden = loop.feed(token)
                    token, logits = greedy_token(model.network, hidden, words)
            layers = loop.layers()
        yield from self._masks(grounding, grounding.ready(last=True), offered, seconds)
        if delta := text.finish():
            yield TextDelta(delta)
        # Spelled out by the model it is a word; in the next prompt it would be the picture, a second time.
        answer = model.tokenizer.decode(said).replace(IMAGE_PLACEHOLDER, "")
        self._turns.append((self._question(query), answer.strip()))
        self._prefix = Prefix(tuple(ids + said)[: loop.positions], layers)
        targets = grounding.result(answer, query)
        score = targets[0].probability if targets else float("nan")
        seconds = total(seconds)
        yield Finished(SegmentationResult(query, text.text, targets, seconds, truncated, score, frame.reason))

    def _masks(
        self, grounding: GroundingStream, ranks: Sequence[int], offered: bool, seconds: dict[str, float]
    ) -> Iterator[MaskReady]:
        """offered: the first target is none of the result's, see GroundingStream.result."""
        for rank in ranks:
            with self._model.timed(seconds, "decode_masks"):
                target = grounding.decode(rank)
            if rank or not offered:
                yield MaskReady(rank - offered, target)


def check_limit(max_new_tokens: int | None) -> int:
    """Most tokens of an answer, MAX_NEW_TOKENS for None. Raises ConfigurationError."""
    limit = MAX_NEW_TOKENS if max_new_tokens is None else max_new_tokens
    if not isinstance(limit, Integral) or limit < 1:  # no number of tokens equals 2.5: it would be no limit
        raise ConfigurationError(f"max_new_tokens is {limit!r}; it must be a whole number, at least 1")
    return int(limit)


def _pair(turn: tuple[str, str]) -> tuple[str, str]:
    if isinstance(turn, str) or not isinstance(turn, Sequence) or len(turn) != 2:
        raise InvalidQueryError(f"a turn of the history is a pair (question, answer), not {turn!r:.80}")
    return turn[0], turn[1]
