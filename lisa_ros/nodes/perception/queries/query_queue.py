"""Which query waits, which is superseded and which is next. No rclpy; used by one thread."""

from lisa_ros.nodes.perception.queries.query import ACTION, STANDING, TOPIC, Query, QueryState

_MAX_PREEMPTIONS = 2  # in a row: enough to correct oneself, and every third query still gets its answer


class QueryQueue:
    """The newest text on the topic wins; action goals wait in turn; everything supersedes the standing query.

    Texts may come faster than answers, so progress is guaranteed: the text of the running query, sent again, lets it
    run, and after newer texts have ended _MAX_PREEMPTIONS running queries in a row the next one runs to its end. A text
    that waits is replaced by a newer one, which takes its place in line.

    Attributes:
        pending: Queries in line, WAITING or BOUND.
        running: The query in the inference thread, also when its result is out already; None while that is idle.
    """

    def __init__(self):
        self.pending: list[Query] = []
        self.running: Query | None = None
        self._preemptions = 0  # running queries from the topic that newer ones have ended since one ran to its end

    def goals_waiting(self) -> int:
        """Action goals that have not started."""
        return sum(query.request.source == ACTION for query in self.pending)

    def add(self, query: Query) -> list[Query]:
        """Puts a query in line. Returns those that it supersedes, which are out of line and cancelled."""
        superseded = [other for other in self.unfinished() if self._supersedes(query, other)]
        self._preemptions += self.running in superseded and query.request.source == self.running.request.source
        waiting = (other for other in superseded if other in self.pending and other.request.source == TOPIC)
        replaced = next(waiting, None)
        if replaced is None:
            self.pending.append(query)
        else:
            self.pending[self.pending.index(replaced)] = query
            query.take_place_of(replaced)
        for other in superseded:
            self.drop(other)
        return superseded

    def _supersedes(self, new: Query, old: Query) -> bool:
        if old.request.source == STANDING:
            return True
        if not new.request.source == old.request.source == TOPIC:
            return False
        if old is not self.running:
            return True
        return self._preemptions < _MAX_PREEMPTIONS and not new.request.asks_the_same(old.request)

    def unfinished(self) -> list[Query]:
        """All queries whose result is not out yet."""
        running = [self.running] if self.running is not None and not self.running.is_done else []
        return running + self.pending

    def drop(self, query: Query):
        """Takes a query out of line, or tells the inference thread to stop it."""
        query.cancel.set()
        if query in self.pending:
            self.pending.remove(query)

    def start_next(self) -> Query | None:
        """Starts the first query in line that is bound. None while one runs, and where none is bound."""
        if self.running is not None:
            return None
        bound = next((query for query in self.pending if query.state is QueryState.BOUND), None)
        if bound is not None:
            self.pending.remove(bound)
            self.running = bound
            bound.start()
        return bound

    def release(self):
        """The inference thread is done with the running query."""
        if self.running is not None and self.running.request.source == TOPIC and not self.running.cancel.is_set():
            self._preemptions = 0
        self.running = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return self.running is None and not self.pending

    @property
    def is_preemptible(self) -> bool:
        """Whether nothing runs or waits but what an action goal supersedes."""
        return all(query.request.source == STANDING for query in (self.running, *self.pending) if query is not None)
