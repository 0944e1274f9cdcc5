"""How many frames of a stream never arrived, estimated from its stamps alone. No rclpy."""

import math
import statistics
from dataclasses import dataclass, field

_LEARNING_STEPS = 10  # distances of stamps from which the period is learned
_CLEAR_GAP = 1.75  # periods; while learning, a shorter distance is one period with jitter
_PHASE_GAIN, _PERIOD_GAIN = 0.35, 0.035  # of the alpha-beta filter that follows the stream
_SETTLED = 3  # frames in a row, one period apart, after which a gap is judged
_UNSETTLED = 12  # frames without such a row: many are lost, or the period is another one now
# What these have to be like in a stream of the old period that loses many: shares of frames on the beat next to the one
# before, and on the same one; and the root mean square of their offsets, in periods (0.29 is that of no rhythm at all).
_IN_STEP, _SAME_BEAT, _SPREAD = 0.25, 0.34, 0.25
_SLIP = 0.25  # periods by which the stamps after a gap may be off the rhythm before it


@dataclass
class MissedFrames:
    """Follows the rhythm of a stream and counts the frames that are missing from it.

    Stamps jitter: a frame that comes half a period late and a punctual one after it look like a gap and a short step,
    so that the distance of two stamps decides nothing. Each frame is put on the nearest beat of a rhythm that an
    alpha-beta filter follows. Beats without a frame are losses once the stream goes on in that rhythm; where it does
    not (another rate, a camera that paused for a part of a period), they are none.
    """

    _newest: int | None = None  # stamp, ns
    _steps: list[int] = field(default_factory=list)  # ns, while the period is learned
    _period: float = 0.0  # ns; 0 while it is learned
    _beat: float = 0.0  # ns, where the newest frame should lie
    # Since the stream was last settled:
    _empty: int = 0  # beats without a frame
    _advances: list[int] = field(default_factory=list)  # beats from frame to frame
    _offsets: list[float] = field(default_factory=list)  # ns, of the frames behind the first gap from their beats
    _slips: list[float] = field(default_factory=list)  # ns, of the same frames from the rhythm before the gap
    _row: int = 0  # frames in a row, each on the beat next to the one before

    def note(self, stamp: int) -> int:
        """Takes the stamp of the next arrival, in ns. Returns how many frames are now known to be lost before it."""
        newest, self._newest = self._newest, max(stamp, self._newest or stamp)
        if newest is None or stamp == newest:
            return 0
        if not self._period:
            self._learn(stamp - newest)
            return 0
        self._place(stamp)
        if self._row >= _SETTLED:
            return self._settle()
        if len(self._advances) < _UNSETTLED:
            return 0
        if self._keeps_rhythm():
            return self._settle()
        self.__init__(self._newest)  # learns the period anew
        return 0

    def _learn(self, step: int):
        if step <= 0:
            return
        self._steps.append(step)
        if len(self._steps) < _LEARNING_STEPS:
            return
        median = statistics.median(self._steps)
        periods = sum(1 if step < _CLEAR_GAP * median else round(step / median) for step in self._steps)
        self._period, self._beat = sum(self._steps) / periods, float(self._newest)

    def _place(self, stamp: int):
        """Puts a frame on a beat and lets the filter follow it."""
        advance = round((stamp - self._beat) / self._period)
        self._advances.append(advance)
        self._row = self._row + 1 if advance == 1 else 0
        if advance < 1:
            self._empty -= 1  # late, or overtaken on the way: its beat was passed over
            return
        self._beat += advance * self._period
        self._empty += advance - 1
        offset = stamp - self._beat
        self._beat += _PHASE_GAIN * offset
        if self._empty > 0:
            self._slips.append(_PHASE_GAIN * sum(self._offsets) + offset)
            self._offsets.append(offset)
        else:
            self._offsets.clear()
            self._slips.clear()
            self._period += _PERIOD_GAIN * offset / advance

    def _keeps_rhythm(self) -> bool:
        in_step = sum(advance == 1 for advance in self._advances) / len(self._advances)
        same_beat = sum(advance < 1 for advance in self._advances) / len(self._advances)
        spread = math.sqrt(sum(offset**2 for offset in self._offsets) / max(1, len(self._offsets))) / self._period
        return in_step >= _IN_STEP and same_beat < _SAME_BEAT and spread < _SPREAD

    def _settle(self) -> int:
        lost = max(0, self._empty)
        # A gap of no whole number of periods: only the beats that have passed for certain count.
        if lost and self._slips and statistics.median(self._slips) < -_SLIP * self._period:
            lost -= 1
        self._empty = 0
        for since in (self._advances, self._offsets, self._slips):
            since.clear()
        return lost
