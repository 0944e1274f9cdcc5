"""Questions about what is not in the picture as data sets of their own, to be mixed in by their own weight."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lisa_ros.types import FALSE_PREMISE, LazyTurns, Sample, TruthTarget, Turn


class SampleReader(Protocol):
    """A data set; source: its name."""

    source: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def key(self, index: int) -> str:
        """Name of a sample."""
        ...

    def files(self, index: int) -> tuple[Path, ...]:
        """Files that a sample is read from."""
        ...


class _Derived:
    """Samples of a data set with other turns."""

    def __init__(self, reader: SampleReader, kind: str) -> None:
        self.reader, self.source = reader, f"{reader.source}/{kind}"

    def __len__(self) -> int:
        return len(self.reader)

    def key(self, index: int) -> str:
        """As of the data set it is made from."""
        return self.reader.key(index)

    def files(self, index: int) -> tuple[Path, ...]:
        """As of the data set it is made from."""
        return self.reader.files(index)


class FalsePremises(_Derived):
    """The false premises of a data set that has other questions too; samples without any have no turns."""

    def __init__(self, reader: SampleReader) -> None:
        super().__init__(reader, "false_premises")

    def __getitem__(self, index: int) -> Sample:
        sample = self.reader[index]
        turns = tuple(turn for turn in sample.turns if turn.kind == FALSE_PREMISE)
        return Sample(sample.image, turns, self.source, sample.ignore)


class AbsentClasses(_Derived):
    """Classes that a picture of a semantic data set does not show, as false premises.

    Every other one has an alternative: a class that the picture shows, with its mask, chosen by their order. A class in
    unlabelled pixels passes for absent: sets whose pictures are not labelled for all classes (PACO) are not suited.

    Args:
        reader: One turn for each class that a picture shows, its question the class's name.
        names: Of all its classes.
    """

    def __init__(self, reader: SampleReader, names: Sequence[str]) -> None:
        super().__init__(reader, "absent")
        self.names = tuple(dict.fromkeys(names))

    def __getitem__(self, index: int) -> Sample:
        sample = self.reader[index]
        shown = [turn.question for turn in sample.turns]
        absent = [name for name in self.names if name not in shown]

        def turn(number: int) -> Turn:
            name, alternative = absent[number], None
            if number % 2:
                (alternative,) = sample.turns[number // 2 % len(shown)].targets
            return Turn(name, (TruthTarget(name, None, alternative=alternative),), "", FALSE_PREMISE)

        return Sample(sample.image, LazyTurns(len(absent) if shown else 0, turn), self.source, sample.ignore)
