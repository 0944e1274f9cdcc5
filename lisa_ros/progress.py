"""How far something is: a bar on a terminal, a plain line at intervals where there is none, as in a cluster's log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from tqdm import tqdm

INTERVAL = 30.0  # s between two lines
_T = TypeVar("_T")


class ProgressBar:
    """A progress bar on stderr, or one line every INTERVAL seconds where stderr is no terminal.

    Args:
        total: Number of units in all.
        first: Number of units that were finished before.
        unit: Name of a unit.
        description: Text before the bar or line.
        active: False shows nothing, as in the other processes of a run.
        keep: Leaves the finished bar on the terminal.
    """

    def __init__(
        self,
        total: int,
        *,
        first: int = 0,
        unit: str = "it",
        description: str = "",
        active: bool = True,
        keep: bool = True,
    ) -> None:
        self._bar = tqdm(
            total=total,
            initial=first,
            unit=unit,
            desc=description or None,
            disable=None if active else True,  # None: shown on a terminal only
            leave=keep,
            dynamic_ncols=True,
            mininterval=1,
        )
        self._plain = active and self._bar.disable
        self._total, self._first, self._done = total, first, first
        self._unit, self._description = unit, description
        self._began = self._told = time.monotonic()

    def advance(self, done: int, facts: str = "") -> None:
        """Sets the progress.

        Args:
            done: Finished units of the total.
            facts: Text to show next to the progress.
        """
        previous, self._done = self._done, done
        if not self._plain:
            self._bar.set_postfix_str(facts, refresh=False)
            self._bar.update(done - previous)
            return
        now = time.monotonic()
        if previous == self._first or done == self._total or now - self._told >= INTERVAL:
            self._told = now
            _write(sys.stderr, self._line(now, facts))

    def update(self, count: int = 1) -> None:
        """`count` more are finished."""
        self.advance(self._done + count)

    def say(self, text: str) -> None:
        """A line on stdout, above the bar."""
        if self._plain:
            _write(sys.stdout, text)
        else:
            self._bar.write(text)

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _line(self, now: float, facts: str) -> str:
        spent, done = now - self._began, self._done - self._first
        left = spent / done * (self._total - self._done) if done else 0.0
        times = f"{tqdm.format_interval(spent)} spent, {tqdm.format_interval(left)} left"
        head = f"{self._description}: " if self._description else ""
        return f"{head}{self._unit} {self._done} of {self._total}, {times}" + (f", {facts}" if facts else "")


def _write(stream: TextIO, line: str) -> None:
    stream.write(f"{line}\n")
    stream.flush()


def track(
    items: Iterable[_T],
    *,
    total: int | None = None,
    first: int = 0,
    unit: str = "it",
    description: str = "",
    active: bool = True,
    keep: bool = True,
) -> Iterator[_T]:
    """Iterates over items and shows the progress.

    Args:
        items: What to iterate over.
        total: Number of items, if they have no length.
        first: Number of items that were finished before.
        unit: Name of an item.
        description: Text before the bar or line.
        active: False shows nothing.
        keep: Leaves the finished bar on the terminal.

    Yields:
        The items, one after the other.
    """
    total = len(items) if total is None else total  # type: ignore[arg-type]
    bar = ProgressBar(total, first=first, unit=unit, description=description, active=active, keep=keep)
    try:
        for done, item in enumerate(items, first + 1):
            yield item
            bar.advance(done)
    finally:
        bar.close()
