"""Grounding events of an answer as they are generated -> targets, each as soon as it can be decoded."""

from dataclasses import replace

import torch
from torch import Tensor

from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.inference.loaded_model import LoadedModel, absent_target
from lisa_ros.model.grounding import TARGET_KINDS, parents_of
from lisa_ros.types import LOC, REJ, EventKind, Target


class GroundingStream:
    """Collects the events of one answer.

    A SEG whose parent has not been said yet waits for it; what still waits at the end is decoded without one.

    Attributes:
        targets: Those that are known, by the rank of their token among the answer's target tokens.
    """

    def __init__(self, model: LoadedModel, frame: EncodedFrame) -> None:
        """An answer about `frame` without events."""
        self._model, self._frame = model, frame
        self._two_step = LOC in model.kinds.values()
        self._kinds: list[EventKind] = []
        self._states: list[Tensor] = []
        self._facts: list[tuple[str, float]] = []
        self.targets: dict[int, Target] = {}

    def __len__(self) -> int:
        """Number of target tokens said so far."""
        return len(self._events())

    def push(self, kind: EventKind, state: Tensor, phrase: str, probability: float) -> None:
        """An event. state: (1, hidden_size), which predicted its token. probability: see `Style.presence`."""
        self._kinds.append(kind)
        self._states.append(state)
        self._facts.append((phrase, probability))

    def ready(self, last: bool = False) -> list[int]:
        """Ranks of the targets that can be decoded now and have not been. last: the answer is over."""
        parents = parents_of(self._kinds)
        return [
            rank
            for rank, index in enumerate(self._events())
            if rank not in self.targets
            and (last or not self._two_step or self._kinds[index] == REJ or parents[index] is not None)
        ]

    def decode(self, rank: int) -> Target:
        """The target of that rank, which `ready` named."""
        index = self._events()[rank]
        self.targets[rank] = self._target(index, parents_of(self._kinds)[index])
        return self.targets[rank]

    def offers_first(self, answer: str) -> bool:
        """Whether an answer, as far as it goes, offers its first target in the place of what it denies."""
        denial = self._model.style.denial(answer)
        return denial is not None and denial.has_mask

    def result(self, answer: str, query: str) -> tuple[Target, ...]:
        """The targets of a whole answer: those of its tokens, then what its words say is absent.

        A target that is offered in the place of the absent one is that one's alternative, and none of these.

        Args:
            answer: Text with its grounding tokens.
            query: What an absent target is called that the answer does not name.
        """
        denial = self._model.style.denial(answer)
        if denial is None:
            return self.in_order()
        absent = absent_target(self._frame, denial.phrase or query, float("nan"))
        alternative = self.targets.get(0) if denial.has_mask else None
        if alternative:
            alternative = replace(alternative, phrase=denial.correction)
        found = tuple(self.targets[rank] for rank in sorted(self.targets) if rank or not denial.has_mask)
        return (*found, replace(absent, correction=denial.correction, alternative=alternative))

    def _events(self) -> list[int]:
        return [index for index, kind in enumerate(self._kinds) if kind in TARGET_KINDS]

    def in_order(self) -> tuple[Target, ...]:
        """The known targets in the order of the text."""
        return tuple(self.targets[rank] for rank in sorted(self.targets))

    def _target(self, index: int, parent: int | None) -> Target:
        phrase, probability = self._facts[index]
        if self._kinds[index] == REJ:
            return absent_target(self._frame, phrase, probability)
        used = [index] if parent is None else [parent, index]
        kinds: list[EventKind] = [self._kinds[number] for number in used]
        states = torch.cat([self._states[number] for number in used])
        return self._model.ground(self._frame, states, kinds, phrase, probability)
