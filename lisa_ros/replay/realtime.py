"""Real time: the bag runs at its own speed, whether or not anybody keeps up. What really comes out."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import cycle

from lisa_ros.errors import GraphEndedError, LisaError, NoResultError
from lisa_ros.evaluation.scans.rows import NO_RESULT, ReplayAnswer
from lisa_ros.evaluation.scans.scan import Case, Scan
from lisa_ros.evaluation.scans.scoring import DecodedFrame, Scorer
from lisa_ros.progress import ProgressBar
from lisa_ros.recordings.topics import STEP, index_of_stamp, stamp_of_index
from lisa_ros.replay.lockstep import answer_of
from lisa_ros.scannet.scene_queries import SceneQuery

_SECOND = 1_000_000_000
_MEMORY = "memory "  # as the node's diagnostics name it


@dataclass
class RealtimeFacts:
    """What happened besides the answers.

    frames_played: images of the bag. frames_received: those of them that reached the node, None where it does not say.
    frames_answered: those that an answer is about. questions: asked. answers: that came. without_truth: questions about
    images that say nothing about them (no pose, hardly in view), in no score. worst_delay: s by which the player was
    late at most. memory: bytes of the node, by name. ended: why the node ended, "" where it did not.
    """

    frames_played: int = 0
    frames_received: int | None = None
    frames_answered: int = 0
    questions: int = 0
    answers: int = 0
    without_truth: int = 0
    worst_delay: float = 0.0
    memory: dict[str, str] = field(default_factory=dict)
    ended: str = ""


@dataclass(frozen=True)
class _AskedQuestion:
    """frame: what the answer is about, or the newest one when the question was asked."""

    query: SceneQuery
    frame: int
    answer: ReplayAnswer


def run_realtime(client, scan: Scan, scorer: Scorer, timeout: float) -> RealtimeFacts:
    """Plays the bag once at rate 1 with /clock, and asks one question after the other, each about the newest image.

    The queries take turns; one with a window is asked within it. Every answer is scored against the truth of the image
    that it is about. client, timeout: as for lockstep.
    """
    facts, asked = RealtimeFacts(), []
    try:
        client.rewind()
        before = client.diagnostics()
        with _BagPlayback(client.player, scan) as playback:
            for query in _in_turn(scan, playback):
                asked.append(_ask(client, query, playback, timeout))
        facts.frames_played, facts.worst_delay = playback.report.frames, playback.report.worst_delay
        after = client.diagnostics()
        facts.memory = {name.removeprefix(_MEMORY): v for name, v in after.items() if name.startswith(_MEMORY)}
        counts = [report.get("image received") for report in (before, after)]
        if None not in counts:
            facts.frames_received = int(counts[1]) - int(counts[0])
    except GraphEndedError as error:
        facts.ended = str(error)
    _score(scan, scorer, asked, facts)
    return facts


class _BagPlayback:
    """The bag while it plays in a thread; leaving the context waits for its end, or stops it after an error."""

    def __init__(self, player, scan: Scan):
        self._player, self._first = player, scan.bag.span[0]
        self._seconds, self._shown = round((scan.bag.span[1] - self._first) / _SECOND), 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._error: LisaError | None = None
        self.report = None

    def __enter__(self) -> "_BagPlayback":
        self._begin = time.perf_counter()
        self._bar = ProgressBar(self._seconds, description="real time", unit="s")
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self._stopped.set()
        self._thread.join()
        self._bar.close()
        if kind is None and self._error is not None:
            raise self._error

    @property
    def is_playing(self) -> bool:
        """Whether the bag still plays."""
        elapsed = min(self._seconds, int(time.perf_counter() - self._begin))
        if elapsed > self._shown:
            self._shown = elapsed
            self._bar.advance(elapsed)
        return self._thread.is_alive()

    def stamp_at(self, moment: float) -> int:
        """ns in the bag's time at a perf_counter time."""
        return self._first + round((moment - self._begin) * _SECOND)

    def _play(self):
        try:
            self.report = self._player.play(1.0, clock=True, stopped=self._stopped)
        except LisaError as error:  # a damaged bag; raised again where it is waited for
            self._error = error


def _in_turn(scan: Scan, playback: _BagPlayback) -> Iterator[SceneQuery]:
    for query in cycle(scan.queries):
        if not playback.is_playing:
            return
        frame = _frame_at(playback, time.perf_counter())
        if query.window is None or query.asks_about(frame):
            yield query
        elif not any(other.window is None or other.asks_about(frame) for other in scan.queries):
            time.sleep(STEP / _SECOND)


def _frame_at(playback: _BagPlayback, moment: float) -> int:
    return max(0, playback.stamp_at(moment) - stamp_of_index(0)) // STEP


def _ask(client, query: SceneQuery, playback: _BagPlayback, timeout: float) -> _AskedQuestion:
    from lisa_ros.client.graph_client import ACTION

    started = time.perf_counter()
    newest = _frame_at(playback, started)
    try:
        timed = client.ask(query.text, ACTION, timeout)
    except NoResultError as error:
        return _AskedQuestion(query, newest, ReplayAnswer(NO_RESULT, str(error)))
    index = index_of_stamp(timed.result.stamp)
    if index is None:  # an outcome without an image has no stamp
        return _AskedQuestion(query, newest, answer_of(timed))
    age = (playback.stamp_at(started + timed.seconds) - timed.result.stamp) / _SECOND
    return _AskedQuestion(query, index, replace(answer_of(timed), age=age))


def _score(scan: Scan, scorer: Scorer, asked: list[_AskedQuestion], facts: RealtimeFacts):
    wanted = {item.frame for item in asked if item.answer.answered}
    frames = {rgbd.index: DecodedFrame(rgbd) for rgbd in scan.bag.frames() if rgbd.index in wanted} if wanted else {}
    facts.questions = len(asked)
    facts.answers = sum(item.answer.answered for item in asked)
    facts.frames_answered = len(wanted)
    for item in asked:
        if scan.truth(item.query, item.frame) is None:
            facts.without_truth += 1
        else:
            scorer.add(Case(item.query, item.frame), item.answer, frames.get(item.frame))
