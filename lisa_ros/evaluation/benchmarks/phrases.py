"""Asks a model about all phrases of each picture at once, of which some may be absent, and scores its answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lisa_ros.errors import (
    ConfigurationError,
    DatasetError,
    InvalidImageError,
    InvalidQueryError,
    MemoryBudgetError,
)
from lisa_ros.evaluation.benchmarks.evaluate_dataset import EvaluationDataset
from lisa_ros.evaluation.benchmarks.phrase_metrics import PhraseMetrics
from lisa_ros.evaluation.benchmarks.proposal_oracle import ProposalOracle
from lisa_ros.evaluation.metrics import union_truth
from lisa_ros.evaluation.predictors import encode_sample
from lisa_ros.inference.conversation import MAX_NEW_TOKENS
from lisa_ros.inference.engine import Lisa
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.inference.teacher_forcing import segment_phrases, teacher_forced
from lisa_ros.progress import track
from lisa_ros.types import REJ, SEGMENTED, Sample, Target

# Official (the true answer stands in the prompt), decided by the model token by token, and written by it freely.
MODES = ("teacher_forced", "decided", "generative")


@dataclass(frozen=True)
class PhraseAnswer:
    """What a model said about one phrase.

    Attributes:
        phrase: The words.
        logits: (H, W) float32 mask logits; None for no mask.
        rejected: Whether it said that the thing is not there; also where it said nothing about it.
        answered: Whether it said anything about it.
    """

    phrase: str
    logits: np.ndarray | None
    rejected: bool
    answered: bool = True


def evaluate_phrases(
    lisa: Lisa,
    dataset: EvaluationDataset,
    mode: str = "teacher_forced",
    *,
    limit: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    counts_false_positives: bool = True,
    progress: bool = False,
    oracle: ProposalOracle | None = None,
) -> tuple[PhraseMetrics, dict[str, str]]:
    """Scores every picture of a data set, all phrases of a picture in one query where the style has that.

    Args:
        lisa: The engine.
        dataset: Samples whose turns are phrases, as `ReferDataset`'s.
        mode: "teacher_forced": official, with the true answer in the prompt; "decided": the model decides at the place
            of each phrase; "generative": it writes the answer.
        limit: Number of pictures.
        max_new_tokens: Longest generated answer.
        counts_false_positives: See PhraseMetrics.
        progress: Whether to show it.
        oracle: Gets what any choice among the pictures' proposals could reach, for a system that has some.

    Returns:
        The scores, and for each sample that cannot be read or asked its key and why.

    Raises:
        ConfigurationError: The mode is not known.
    """
    if mode not in MODES:
        raise ConfigurationError(f"mode {mode!r} is not known; there are {', '.join(MODES)}")
    metrics, bad = PhraseMetrics(counts_false_positives), {}
    indices = range(min(len(dataset), limit or len(dataset)))
    for index in track(indices, description=f"{dataset.source} {mode}", unit="image", active=progress):
        try:
            sample = dataset[index]
            truths = [union_truth(turn, sample.ignore) for turn in sample.turns]
            frame = encode_sample(lisa, sample)
            answers = ask_phrases(lisa, sample, truths, mode, max_new_tokens, frame)
        except (DatasetError, InvalidImageError, InvalidQueryError, MemoryBudgetError) as error:
            bad[dataset.key(index)] = str(error)
            continue
        for answer, truth in zip(answers, truths, strict=True):
            metrics.add(answer.logits, truth, answer.rejected)
            metrics.unanswered += not answer.answered
            if oracle is not None:
                oracle.add(frame, truth)
    return metrics, bad


def ask_phrases(
    lisa: Lisa,
    sample: Sample,
    truths: Sequence[np.ndarray | None],
    mode: str,
    max_new_tokens: int = MAX_NEW_TOKENS,
    frame: EncodedFrame | None = None,
) -> list[PhraseAnswer]:
    """The answers about a sample's turns.

    truths: of the turns, for the true answer of teacher forcing. frame: of the sample; None encodes it.
    """
    phrases = [turn.question for turn in sample.turns]
    frame = frame or encode_sample(lisa, sample)
    if mode == "decided":
        targets = segment_phrases(lisa.model.about(frame), frame, phrases).targets
        return [PhraseAnswer(p, t.logits, t.kind != SEGMENTED) for p, t in zip(phrases, targets, strict=True)]
    present = [truth is not None and bool((truth == 1).any()) for truth in truths]
    prompts = lisa.model.style.query_prompts(phrases, lisa.network.config.mask_query, present=present)
    if mode == "generative":
        return [
            answer
            for prompt in prompts
            for answer in _generated(lisa, frame, prompt.question, prompt.phrases, max_new_tokens)
        ]
    answers = []
    for prompt in prompts:
        if prompt.answer is None:
            raise ConfigurationError(f"style {lisa.network.config.style} answers in words; its mode is generative")
        for phrase, target in zip(
            prompt.phrases, teacher_forced(lisa.model.about(frame), frame, prompt.question, prompt.answer), strict=True
        ):
            answers.append(PhraseAnswer(phrase, target.logits, target.decided == REJ))
    return answers


def _generated(
    lisa: Lisa, frame: EncodedFrame, question: str, phrases: Sequence[str], max_new_tokens: int
) -> Iterator[PhraseAnswer]:
    result = lisa.chat(frame, question, max_new_tokens=max_new_tokens)
    for phrase, target in zip(phrases, match_phrases(phrases, result.targets), strict=True):
        if target is None:
            yield PhraseAnswer(phrase, None, rejected=True, answered=False)
        else:
            yield PhraseAnswer(phrase, target.logits, rejected=target.kind != SEGMENTED)


def match_phrases(phrases: Sequence[str], targets: Sequence[Target]) -> list[Target | None]:
    """For each phrase the target of a generated answer that is about it, None for none.

    By order where the answer has one for each; else by its words, each target once.
    """
    if len(phrases) == len(targets):
        return list(targets)
    left, found = list(targets), []
    for phrase in phrases:
        match = next((target for target in left if _plain(target.phrase) == _plain(phrase)), None)
        if match is not None:
            left = [target for target in left if target is not match]
        found.append(match)
    return found


def _plain(phrase: str) -> str:
    words = phrase.casefold().strip(" .").split()
    return " ".join(words[1:] if words[:1] and words[0] in ("the", "a", "an") else words)
