"""One row for each scored query, in JSON lines that survive a killed run and join those of several processes."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lisa_ros.errors import ConfigurationError, DatasetError
from lisa_ros.evaluation.metrics import Overlap

MODES = ("teacher_forced", "generative")


@dataclass(frozen=True)
class Identity:
    """What a set of rows is about; rows of different identities are never put into one score.

    mode: "teacher_forced" (the paper's validation: the mask of an answer that is given) or "generative" (what a robot
    gets: the masks of the answer that the model writes).
    """

    benchmark: str
    source: str
    model: str
    mode: str


@dataclass(frozen=True)
class Row:
    """One scored query. key: its image; turn: its number there. seconds: wall time of the answer, without encoding.

    masks: how many the model gave. truncated: its answer reached the token limit. error: why the model could not be
    asked, "" if it could; such a query counts as one without a mask.
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

    @property
    def overlap(self) -> Overlap:
        """The pixels, for the metrics."""
        return Overlap(self.intersection, self.union, self.present, self.found)

    @property
    def iou(self) -> float:
        """As LISA counts it."""
        return self.overlap.iou


class RowFile:
    """Rows of one process, appended image by image.

    Opening a file that exists goes on with it; a line that a killed run left unfinished is dropped, with its image.
    Raises ConfigurationError if the file belongs to another evaluation.
    """

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self.done: set[str] = set()
        if path.exists() and path.stat().st_size:
            known, rows = read_rows(path)
            if known != identity:
                raise ConfigurationError(
                    f"{path} holds {known}; this evaluation is {identity}: choose another --out or remove the file"
                )
            self.done = {row.key for row in rows}
            self._write([identity, *rows])
        else:
            self._write([identity])

    def append(self, rows: list[Row]) -> None:
        """Adds all rows of one image at once."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("".join(_line(row) for row in rows) + _end(rows[0].key))
            file.flush()
            os.fsync(file.fileno())
        self.done.add(rows[0].key)

    def _write(self, content: list[Identity | Row]) -> None:
        lines = []
        for i, item in enumerate(content):
            lines.append(_line(item))
            last = i + 1 == len(content) or content[i + 1].key != item.key if isinstance(item, Row) else False
            if last:
                lines.append(_end(item.key))
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(lines), encoding="utf-8")
        os.replace(temporary, self.path)


def read_rows(path: Path) -> tuple[Identity, list[Row]]:
    """Identity and the rows of finished images. Raises DatasetError for a file that is not one of rows."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        identity = Identity(**json.loads(lines[0]))
    except (IndexError, ValueError, TypeError) as error:
        raise DatasetError(f"{path} does not begin as a file of evaluation rows: {error}") from error
    return identity, list(_finished(path, lines[1:]))


def read_all(directory: Path) -> tuple[Identity, list[Row]]:
    """Rows of all processes that wrote into a directory, each query once. Raises DatasetError, ConfigurationError."""
    paths = sorted(directory.glob("rows*.jsonl"))
    if not paths:
        raise DatasetError(f"{directory} holds no rows*.jsonl; run the evaluation first")
    identity, rows = None, {}
    for path in paths:
        known, found = read_rows(path)
        if identity not in (None, known):
            raise ConfigurationError(f"{path} is about {known}, the others about {identity}; they cannot be joined")
        identity = known
        rows.update({(row.key, row.turn): row for row in found})
    return identity, [rows[name] for name in sorted(rows)]


def _finished(path: Path, lines: list[str]) -> Iterator[Row]:
    names, waiting = {field.name for field in fields(Row)}, []
    for number, line in enumerate(lines, start=2):
        try:
            content = json.loads(line)
        except ValueError as error:
            if number == len(lines) + 1:  # the line that a killed run was writing
                return
            raise DatasetError(f"{path}, line {number}: {error}") from error
        if set(content) == {"end"}:
            yield from waiting
            waiting = []
        elif set(content) == names:
            waiting.append(Row(**content))
        else:
            raise DatasetError(f"{path}, line {number}: not a row of this version of lisa_ros")


def _line(item: Identity | Row) -> str:
    return json.dumps(asdict(item), ensure_ascii=False) + "\n"


def _end(key: str) -> str:
    """Marks an image as finished."""
    return json.dumps({"end": key}, ensure_ascii=False) + "\n"
