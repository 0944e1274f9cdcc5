"""What a style is: how one family of checkpoints words its prompts and answers, and grounds its words in the image."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lisa_ros.errors import CheckpointError
from lisa_ros.model.grounding import TARGET_KINDS, phrase_before
from lisa_ros.model.heads import SamPromptHead
from lisa_ros.model.styles.denial import Denial
from lisa_ros.model.styles.rendering import RenderedTurn, RenderOptions
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.types import REJ, SEG, EventKind, Turn


@dataclass(frozen=True)
class QueryPrompt:
    """A question with the answer that is expected, whose grounding tokens are read without generating it.

    Attributes:
        question: Words of the question, without what stands for the image.
        phrases: What each target of the answer is, in the order of the answer; of one phrase if there is no answer.
        answer: The expected answer with its grounding tokens. None: only the generated answer tells.
    """

    question: str
    phrases: tuple[str, ...]
    answer: str | None


class Style(ABC):
    """How a family of checkpoints asks, answers and grounds. Stateless: one object serves all.

    A subclass says its tokens, the questions of evaluation and training, and how an answer is read back. What follows
    from them is the same for all: which state an event is read from (one position before its token), that the n-th LOC
    is the parent of the n-th SEG (its low-resolution logits go to SAM as mask prompt), that a REJ has no mask.

    Attributes:
        name: Of the style, as config.json and the `style` argument have it.
        tokens: Grounding tokens and the kind of their events, in the order in which a new checkpoint adds them.
        architectures: Names in config.json's `architectures` that tell the style.
        strips_added_tokens: Tokenizer mode, see `LisaTokenizer`: True as transformers 4.31, False as 4.44.
        words: What is read in the place of a token of that kind in an answer; nothing for others.
        state_offset: Position of the hidden state of an event, counted from its token.
        head: Class that turns hidden states into masks.
        chooses: Whether masks are chosen among proposals, and not drawn.
        weight_prefix: Of weights that no other style's checkpoints have; "" for none.
        conv_type: The prompt template of checkpoints that do not say theirs.
        corrects: Whether answers name what is there in the place of an absent thing.
        expected_answer: Answer that evaluation expects to its questions; None where only the generated one tells.
        mask_query: Question for a "phrase" and for a "sentence", `{text}` for the words; config.json may have its own,
            and an "answer" that is expected to one of them.
    """

    name: ClassVar[str]
    tokens: ClassVar[Mapping[str, EventKind]]
    architectures: ClassVar[tuple[str, ...]] = ()
    strips_added_tokens: ClassVar[bool] = True
    words: ClassVar[Mapping[EventKind, str]] = {}
    state_offset: ClassVar[int] = -1
    head: ClassVar[type[SamPromptHead]] = SamPromptHead
    chooses: ClassVar[bool] = False
    weight_prefix: ClassVar[str] = ""
    conv_type: ClassVar[str] = "llava_v1"
    corrects: ClassVar[bool] = False
    expected_answer: ClassVar[str | None] = None
    mask_query: ClassVar[Mapping[str, str]]

    def kinds(self, tokenizer: LisaTokenizer) -> dict[int, EventKind]:
        """Token id -> kind of event. Raises CheckpointError where a grounding token is not one id."""
        found = {}
        for token, kind in self.tokens.items():
            ids = tokenizer.encode(token, bos=False)
            if len(ids) != 1:
                raise CheckpointError(
                    f"{token} must be one token, this tokenizer splits it into {len(ids)} ids {ids}: "
                    f"added_tokens.json of a checkpoint of style {self.name} holds it"
                )
            found[ids[0]] = kind
        return found

    @property
    def target_tokens(self) -> list[str]:
        """The tokens that stand for targets."""
        return [token for token, kind in self.tokens.items() if kind in TARGET_KINDS]

    @property
    def rejects(self) -> bool:
        """Whether a token of its own says that a target is not in the image."""
        return REJ in self.tokens.values()

    # Evaluation and serving.

    def query_prompts(
        self,
        phrases: Sequence[str],
        mask_query: Mapping[str, str],
        *,
        sentence: bool = False,
        present: Sequence[bool] | None = None,
    ) -> list[QueryPrompt]:
        """The questions that the style asks to segment `phrases`, with the answers it expects: one for each phrase.

        Args:
            phrases: Names of things; with `sentence` one sentence that is asked as it is.
            mask_query: The checkpoint's questions, as `mask_query` of this class.
            sentence: Whether the words ask or tell, rather than name.
            present: For each phrase whether the expected answer has it in the image; None for all. Only a style that
                rejects words this otherwise.

        Returns:
            Prompts whose phrases, one after the other, are `phrases`.
        """
        wording = mask_query["sentence" if sentence else "phrase"]
        answer = self.expected_answer and mask_query.get("answer", self.expected_answer)
        return [QueryPrompt(wording.replace("{text}", phrase), (phrase,), answer) for phrase in phrases]

    def turn_prompt(self, text: str, mask_query: Mapping[str, str], *, sentence: bool) -> QueryPrompt:
        """How evaluations of single questions (ReasonSeg) ask a phrase or sentence by itself; see `query_prompts`."""
        (prompt,) = self.query_prompts([text], mask_query, sentence=sentence)
        return prompt

    def presence(self, logits: Tensor, kinds: Mapping[int, EventKind]) -> float:
        """Probability that the target is there, where its token comes next.

        Args:
            logits: (vocab_size,) next-token logits at the target's place.
            kinds: What `kinds` returned for the tokenizer.

        Returns:
            Probability of [SEG]: among all tokens, or against [REJ] alone in a style that has it.
        """
        ids = [id for id, kind in kinds.items() if kind in TARGET_KINDS]
        ids.sort(key=lambda id: kinds[id] != SEG)
        considered = logits[ids] if self.rejects else logits
        return float(torch.softmax(considered.float(), dim=0)[0 if self.rejects else ids[0]])

    def threshold(self, seg_threshold: float) -> float:
        """The least `presence` of a target that is there. seg_threshold: the checkpoint's; 0 is the style's own."""
        return seg_threshold or (0.5 if self.rejects else 0.0)

    def forced_kind(self, expected: EventKind, argmax: EventKind | None) -> EventKind:
        """Official decision of teacher-forced evaluation: what the target counts as.

        Args:
            expected: Kind of the token that stands in the prompt.
            argmax: Kind of the most probable token at its place; None for a token that grounds nothing.
        """
        return expected

    def denial(self, answer: str) -> Denial | None:
        """What an answer says in words is not in the image; None where it says nothing of the kind.

        Args:
            answer: Generated text with its grounding tokens.
        """
        return None

    def phrase(self, text: str) -> str:
        """What a target token that follows `text` (the words since the last one) names."""
        return phrase_before(text)

    # Training.

    @abstractmethod
    def render(
        self, turns: Sequence[Turn], options: RenderOptions, rng: np.random.Generator
    ) -> tuple[tuple[RenderedTurn, ...], ...]:
        """Conversations of training about one image; equal draws of `rng` give equal conversations.

        Args:
            turns: Questions of one sample, each with at least one target.
            options: See RenderOptions.
            rng: Source of all draws.

        Returns:
            Conversations that do not see one another, each with its turns.
        """
