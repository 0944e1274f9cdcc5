"""Questions and answers about one frame, streamed."""

from collections.abc import Iterator, Sequence
from numbers import Integral

from lisa_ros.errors import ConfigurationError, InvalidQueryError
from lisa_ros.inference.answer import AnswerText
from lisa_ros.inference.generation import Prefix, choose, prefill, probability, step
from lisa_ros.inference.loaded import Cancelled, EncodedFrame, LoadedModel, total
from lisa_ros.inference.queries import check_answer, check_query
from lisa_ros.model.tokenizer import IMAGE_PLACEHOLDER
from lisa_ros.types import Finished, MaskReady, SegmentationResult, TextDelta

MAX_NEW_TOKENS = 512
MAX_TARGETS = 64  # a model that repeats itself must not fill the memory with masks


class Conversation:
    """Keeps the turns, and the keys and values of what was said: a further question costs its own tokens only."""

    def __init__(self, lisa: LoadedModel, frame: EncodedFrame, history: Sequence[tuple[str, str]] = ()) -> None:
        lisa.check_frame(frame)
        self._lisa = lisa
        self._frame = frame
        self._prefix = frame.prefix
        self._turns: list[tuple[str, str]] = []
        for question, answer in map(_pair, history):
            question = self._question(check_query(question, lisa.tokenizer))
            self._turns.append((question, check_answer(answer, lisa.tokenizer)))

    def ask(
        self, text: str, *, max_new_tokens: int | None = None, cancelled: Cancelled | None = None
    ) -> SegmentationResult:
        """The whole answer; see Lisa.chat."""
        for event in self.stream(text, max_new_tokens=max_new_tokens, cancelled=cancelled):
            if isinstance(event, Finished):
                result = event.result
        return result

    def stream(
        self, text: str, *, max_new_tokens: int | None = None, cancelled: Cancelled | None = None
    ) -> Iterator[TextDelta | MaskReady | Finished]:
        """The answer as it comes; see Lisa.stream. The turn counts as said when `Finished` is out."""
        query = check_query(text, self._lisa.tokenizer)
        limit = MAX_NEW_TOKENS if max_new_tokens is None else max_new_tokens
        if not isinstance(limit, Integral) or limit < 1:  # no number of tokens equals 2.5: it would be no limit
            raise ConfigurationError(f"max_new_tokens is {limit!r}; it must be a whole number, at least 1")
        ids = self._lisa.prompt_ids(self._frame, [*self._turns, (self._question(query), None)])
        return self._answer(query, ids, min(limit, self._lisa.context_length - len(ids)), cancelled)

    def _question(self, words: str) -> str:
        return words if self._turns else self._lisa.first_question(words)

    def _answer(
        self, query: str, ids: list[int], limit: int, cancelled: Cancelled | None
    ) -> Iterator[TextDelta | MaskReady | Finished]:
        lisa, frame = self._lisa, self._frame
        seconds = {"encode": frame.seconds}
        text, said, targets = AnswerText(lisa.tokenizer), [], []
        score, truncated = float("nan"), True
        lisa.stop_if(cancelled)
        with lisa.timed(seconds, "prefill"):
            cache, hidden = prefill(lisa.network, ids, frame.visual, self._prefix)
            token, logits = choose(lisa.network, hidden)
        while True:
            if token == lisa.tokenizer.eos_id:
                truncated = False
                break
            said.append(token)
            if delta := text.push(token):
                yield TextDelta(delta)
            lisa.stop_if(cancelled)
            if token in lisa.vocabulary.kinds:
                with lisa.timed(seconds, "decode_masks"):
                    target = lisa.decode_mask(frame, hidden, text.phrase)
                if not targets:
                    score = probability(logits, token)
                targets.append(target)
                yield MaskReady(len(targets) - 1, target)
                lisa.stop_if(cancelled)
            if len(said) == limit or len(targets) == MAX_TARGETS:
                break
            with lisa.timed(seconds, "generate"):
                hidden = step(lisa.network, token, cache)
                token, logits = choose(lisa.network, hidden)
        if delta := text.finish():
            yield TextDelta(delta)
        # Spelled out by the model it is a word; in the next prompt it would be the picture, a second time.
        answer = lisa.tokenizer.decode(said).replace(IMAGE_PLACEHOLDER, "")
        self._turns.append((self._question(query), answer.strip()))
        self._prefix = Prefix.of((ids + said)[: cache.get_seq_length()], cache)
        yield Finished(SegmentationResult(query, text.text, tuple(targets), total(seconds), truncated, score))


def _pair(turn: tuple[str, str]) -> tuple[str, str]:
    if isinstance(turn, str) or not isinstance(turn, Sequence) or len(turn) != 2:
        raise InvalidQueryError(f"a turn of the history is a pair (question, answer), not {turn!r:.80}")
    return turn[0], turn[1]
