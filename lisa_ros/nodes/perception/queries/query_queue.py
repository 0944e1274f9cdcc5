"""Which query waits, which is superseded and which is next. No rclpy; used by one thread."""

import time

from lisa_ros.nodes.perception.queries.query import ACTION, STANDING, TOPIC, Query

_MAX_CUTS = 2  # in a row: enough for a person who corrects himself, and every third query gets its answer


class QueryQueue:
    """Newest words win on the topic; action goals wait in turn; the standing query gives way to everybody.

    Words may come faster than answers, so that progress is guaranteed: the words of the running query, said again, let
    it run, and after newer words have cut off _MAX_CUTS queries in a row the next one runs to its end. Words that wait
    are replaced by newer ones, which take their place in line.
    """

    def __init__(self):
        self.pending: list[Query] = []
        self.running: Query | None = None  # what the worker is busy with, also when its result is out already
        self._cuts = 0  # running queries from the topic that newer words have cut off since one ran to its end

    def goals_waiting(self) -> int:
        """Action goals that have not started."""
        return sum(query.source == ACTION for query in self.pending)

    def add(self, query: Query) -> list[Query]:
        """Puts a query in line. Returns those that it supersedes; they are out of line and told to stop."""
        superseded = [other for other in self.everything() if self._supersedes(query, other)]
        self._cuts += self.running in superseded and query.source == self.running.source
        replaced = next((other for other in superseded if other is not self.running and other.source == TOPIC), None)
        if replaced is None:
            self.pending.append(query)
        else:
            self.pending[self.pending.index(replaced)] = query
            query.waiting_since, query.seen = replaced.waiting_since, replaced.seen
        for other in superseded:
            self.drop(other)
        return superseded

    def _supersedes(self, new: Query, old: Query) -> bool:
        if old.source == STANDING:
            return True
        if not new.source == old.source == TOPIC:
            return False
        return old is not self.running or (self._cuts < _MAX_CUTS and not new.asks_the_same(old))

    def everything(self) -> list[Query]:
        """All that still owe a result."""
        running = [self.running] if self.running and not self.running.finished else []
        return running + self.pending

    def drop(self, query: Query):
        """Takes a query out of line; a running one is told to stop."""
        query.cancel.set()
        if query in self.pending:
            self.pending.remove(query)

    def start_next(self) -> Query | None:
        """The first in line whose image is there, now running; None while the worker is busy or nobody is ready."""
        if self.running is not None:
            return None
        ready = next((query for query in self.pending if query.frame is not None), None)
        if ready is not None:
            self.pending.remove(ready)
            self.running = ready
            ready.started = ready.alive = time.perf_counter()
        return ready

    def release(self):
        """The worker has let go of the running query."""
        if self.running is not None and self.running.source == TOPIC and not self.running.cancel.is_set():
            self._cuts = 0
        self.running = None

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing waits."""
        return self.running is None and not self.pending

    @property
    def is_preemptible(self) -> bool:
        """Nothing runs or waits but what a goal supersedes."""
        return all(query.source == STANDING for query in (self.running, *self.pending) if query is not None)
