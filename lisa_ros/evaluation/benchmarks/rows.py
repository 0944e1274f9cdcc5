"""One row for each scored query, in JSON lines that survive a killed run and join those of several processes."""

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from lisa_ros.errors import ConfigurationError, DatasetError
from lisa_ros.evaluation.benchmarks.judged_masks import JudgedMask
from lisa_ros.evaluation.candidates.answers import CandidateAnswer
from lisa_ros.evaluation.files import convert_write_errors
from lisa_ros.evaluation.metrics import Overlap

_TUPLES = ("phrases", "alternatives", "oracle", "normalized")  # lists in JSON
# What no answer to a query about an absent target counts as: silence is not a refusal.
_WRONG = Overlap(0, 1, False, True)


@dataclass(frozen=True)
class EvaluationIdentity:
    """What a set of rows was measured with; rows of different identities are never combined in one score.

    Attributes:
        benchmark: Name of the benchmark.
        source: Data set and split.
        samples: Number of images of the data set.
        model: Name of the model.
        weights: Digest of its weights and configuration.
        mode: "teacher_forced" (the paper's validation: the mask of a given answer) or "generative" (what a robot gets:
            the masks of the answer that the model generates).
        max_new_tokens: Token limit of an answer; None if none is generated.
    """

    benchmark: str
    source: str
    samples: int
    model: str
    weights: str
    mode: str
    max_new_tokens: int | None = None


@dataclass(frozen=True)
class QueryRow:
    """One scored query.

    key: its image; turn: its number there. phrases: what its targets are called; reference: the answer of the data set.
    sentence: asked as it is, rather than a phrase to put into a question. intersection, union: pixels. present, found:
    whether target and prediction have any. masks: how many the model gave. truncated: the answer reached the token
    limit. error: why the model could not be asked, "" if it could; such a query counts as wrongly answered. seconds: of
    the answer; encoding: of the image, shared by all queries about it. digest: of what the data set held then.
    exists: whether the data set says that the target is there; one without pixels can be. alternatives: what the data
    set says is there in the place of an absent target. proposals: how many the model chose among; oracle: pixels in
    intersection and union of the best single one, then of their best union, () where nothing is chosen; normalized:
    those of the answer's masks at 1024 x 1024 pixels. first_intersection, first_union, first_found: as the names
    without "first", of the first mask of the answer alone, whatever the words around it say. choice, choice_with_truth:
    the candidates that the answer names, and those that it names with the truth among them; None for a system that
    names none. judged: each mask that is not empty, with what a
    calibration is made of.
    """

    key: str
    turn: int
    text: str
    kind: str
    sentence: bool
    intersection: int
    union: int
    present: bool
    found: bool
    answer: str = ""
    masks: int = 0
    truncated: bool = False
    error: str = ""
    seconds: float = 0.0
    encoding: float = 0.0
    phrases: tuple[str, ...] = ()
    reference: str = ""
    digest: str = ""
    exists: bool = True
    alternatives: tuple[str, ...] = ()
    first_intersection: int = 0
    first_union: int = 0
    first_found: bool = False
    proposals: int = 0
    oracle: tuple[int, ...] = ()
    normalized: tuple[int, ...] = ()
    choice: CandidateAnswer | None = None
    choice_with_truth: CandidateAnswer | None = None
    judged: tuple[JudgedMask, ...] = ()

    @property
    def overlap(self) -> Overlap:
        """The pixels, for the metrics."""
        if self.error and not self.present:
            return _WRONG
        return Overlap(self.intersection, self.union, self.present, self.found)

    @property
    def first_overlap(self) -> Overlap:
        """The pixels of the first mask alone."""
        if self.error and not self.present:
            return _WRONG
        return Overlap(self.first_intersection, self.first_union, self.present, self.first_found)

    @property
    def iou(self) -> float:
        """As LISA counts it."""
        return self.overlap.iou


@dataclass
class RowLog:
    """Content of one or more files of rows.

    Attributes:
        identity: What the rows were measured with.
        rows: The rows of finished images.
        bad: Samples that could not be read: key -> reason.
        end: Size of the complete part of the file in bytes.
        changed: Samples whose content has changed since they were scored; they are not in `rows`.
    """

    identity: EvaluationIdentity
    rows: list[QueryRow] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    end: int = 0
    changed: tuple[str, ...] = field(default=(), compare=False)  # of a run, not of what there is now

    @property
    def by_key(self) -> dict[str, list[QueryRow]]:
        """The rows of each image."""
        found: dict[str, list[QueryRow]] = {}
        for row in self.rows:
            found.setdefault(row.key, []).append(row)
        return found


class RowFile:
    """A file that one process appends rows to, image by image; a context manager.

    An existing file is continued; unfinished lines of a killed run are removed. Raises ConfigurationError
    if the file belongs to another evaluation or to a process that is still writing, or cannot be written.
    """

    def __init__(self, path: Path, identity: EvaluationIdentity) -> None:
        self.path = path
        with convert_write_errors(path):
            self._file = path.open("ab")
        try:
            self._lock()
            begun = path.read_bytes()
            if _line(asdict(identity)).startswith(begun):  # new, or killed before its first line was whole
                self._file.truncate(0)
                self._write(asdict(identity))
                log = RowLog(identity)
            else:
                log = read_log(path)
                _same(path, log.identity, identity)
                self._file.truncate(log.end)
        except BaseException:
            self._file.close()
            raise
        self.done = {row.key for row in log.rows}

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def append(self, rows: list[QueryRow]) -> None:
        """Adds all rows of one image at once.

        Args:
            rows: The rows; at least one.
        """
        key = rows[0].key
        self._write(*(asdict(row) | {"iou": round(row.iou, 6)} for row in rows), {"end": key})
        self.done.add(key)

    def append_bad(self, key: str, reason: str) -> None:
        """Records a sample that could not be read. The next run tries it again.

        Args:
            key: Name of the sample.
            reason: Why it could not be read.
        """
        self._write({"bad": key, "reason": reason})

    def _write(self, *items: dict) -> None:
        with convert_write_errors(self.path):
            self._file.write(b"".join(map(_line, items)))
            self._file.flush()
            os.fsync(self._file.fileno())

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"another process is writing {self.path}: wait for it, or give each its own --shard or --out"
            ) from None


def read_log(path: Path) -> RowLog:
    """Identity and the rows of finished images; of one that was asked again, the later ones.

    Raises DatasetError for a file that is not one of rows.
    """
    lines = path.read_bytes().splitlines(keepends=True)
    try:
        log = RowLog(EvaluationIdentity(**json.loads(lines[0])), end=len(lines[0]))
    except (IndexError, ValueError, TypeError) as error:
        raise DatasetError(f"{path} does not begin as a file of evaluation rows: {error}") from error
    read, waiting, finished = log.end, [], {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.endswith(b"\n"):
            break  # a killed run was writing it
        content = _parsed(path, number, line)
        read += len(line)
        if isinstance(content, QueryRow):
            waiting.append(content)
            continue
        if "end" in content:
            finished[content["end"]] = waiting
        else:
            log.bad[content["bad"]] = content["reason"]
        log.end, waiting = read, []
    log.rows = [row for rows in finished.values() for row in rows]
    return log


def read_all(directory: Path, digest: Callable[[str], str] | None = None) -> RowLog:
    """Rows of all processes that wrote into a directory, each query once. Raises DatasetError, ConfigurationError.

    digest: key -> of the sample as it is now; rows of another one are left out. Without it the last ones are taken.
    """
    paths = [path for path in sorted(directory.glob("rows*.jsonl")) if path.stat().st_size]
    if not paths:
        raise DatasetError(f"{directory} holds no rows*.jsonl; run the evaluation first")
    logs = [read_log(path) for path in paths]
    for path, log in zip(paths, logs, strict=True):
        _same(path, log.identity, logs[0].identity)
    found, changed = {}, set()
    for log in logs:
        for key, rows in log.by_key.items():
            if digest is None or rows[0].digest == digest(key):
                found[key] = rows
            else:
                changed.add(key)
    bad = {key: reason for log in logs for key, reason in log.bad.items() if key not in found}
    rows = [row for key in sorted(found) for row in sorted(found[key], key=lambda row: row.turn)]
    return RowLog(logs[0].identity, rows, dict(sorted(bad.items())), changed=tuple(sorted(changed - found.keys())))


_ROW_KEYS = {field.name for field in fields(QueryRow)} | {"iou"}


def _parsed(path: Path, number: int, line: bytes) -> QueryRow | dict:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise DatasetError(f"{path}, line {number}: {error}") from error
    keys = set(content) if isinstance(content, dict) else set()
    if keys in ({"end"}, {"bad", "reason"}):
        return content
    if keys < _ROW_KEYS and {"key", "turn", "text"} <= keys:
        raise DatasetError(
            f"{path} is of an earlier version of lisa_ros: its rows lack {', '.join(sorted(_ROW_KEYS - keys))}, so "
            "that it cannot be continued; choose another --out or remove it"
        )
    if keys != _ROW_KEYS:
        raise DatasetError(f"{path}, line {number}: not a row of this version of lisa_ros")
    del content["iou"]
    lists = {name: tuple(content[name]) for name in _TUPLES}
    lists["judged"] = tuple(JudgedMask(*numbers) for numbers in content["judged"])
    choices = {name: CandidateAnswer.from_dict(content[name]) for name in ("choice", "choice_with_truth")}
    return QueryRow(**content | lists | choices)


def _same(path: Path, known: EvaluationIdentity, wanted: EvaluationIdentity) -> None:
    differ = [f.name for f in fields(EvaluationIdentity) if getattr(known, f.name) != getattr(wanted, f.name)]
    if differ:
        what = "; ".join(f"{name}: {getattr(known, name)!r}, now {getattr(wanted, name)!r}" for name in differ)
        raise ConfigurationError(f"{path} belongs to another evaluation ({what}): choose another --out or remove it")


def _line(content: dict) -> bytes:
    # Half a character, as of a text that was cut, is escaped: JSON reads it back.
    return json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
