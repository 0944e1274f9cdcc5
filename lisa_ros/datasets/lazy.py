"""Turns that are made when they are asked for: a picture can have dozens of masks, and training takes three."""

from collections.abc import Callable, Sequence

from lisa_ros.types import Turn


class LazyTurns(Sequence[Turn]):
    """`count` turns; `self[i]` calls `build(i)`, each time anew."""

    def __init__(self, count: int, build: Callable[[int], Turn]) -> None:
        self._count, self._build = count, build

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int | slice) -> Turn | tuple[Turn, ...]:
        numbers = range(self._count)[index]
        return tuple(map(self._build, numbers)) if isinstance(index, slice) else self._build(numbers)
