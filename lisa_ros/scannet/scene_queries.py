"""Questions about a scan: the queries file (JSON lines), and queries that follow from the annotation.

One line of the file: {"scene", "query_id", "text", "kind", "object_ids", and "frames" or "window" where not every frame
is asked about}.
"""

import json
import random
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from lisa_ros.datasets.files import is_whole
from lisa_ros.errors import ConfigurationError, RecordingError
from lisa_ros.scannet.annotations import Annotation, Category

KINDS = ("category", "referring", "reasoning", "negative")
# Everywhere, or no object: a question for them says nothing about understanding.
STRUCTURE = frozenset(("wall", "floor", "ceiling", "object", "unknown", "remove", "room", "otherstructure"))


@dataclass(frozen=True)
class SceneQuery:
    """One question about a scan.

    kind: "category", "referring", "reasoning", or "negative" (nothing in the scan is meant). object_ids: the objects
    meant, empty for "negative". frames: the frames it is asked in, in order; None for all within window (first and last
    frame, both included), and all of the scan where that is None as well.
    """

    scene: str
    query_id: str
    text: str
    kind: str
    object_ids: tuple[int, ...] = ()
    frames: tuple[int, ...] | None = None
    window: tuple[int, int] | None = None

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ConfigurationError(f"kind={self.kind!r}: choose one of {', '.join(KINDS)}")
        if not self.text.strip() or not self.query_id:
            raise ConfigurationError("text and query_id must not be empty")
        if (self.kind == "negative") != (not self.object_ids):
            raise ConfigurationError(
                f"a {self.kind} query with object_ids={list(self.object_ids)}: only negative has none"
            )
        if self.frames is not None and self.window is not None:
            raise ConfigurationError("give frames or window, not both")
        if self.window is not None and self.window[0] > self.window[1]:
            raise ConfigurationError(f"window={list(self.window)}: the first frame must not be behind the last one")

    def asks_about(self, frame: int) -> bool:
        """Whether the query is asked in a frame."""
        if self.frames is not None:
            return frame in self.frames
        return self.window is None or self.window[0] <= frame <= self.window[1]


def read_queries(path: Path, annotation: Annotation | None = None) -> list[SceneQuery]:
    """The queries of a file; with an annotation, those of its scene, whose objects must exist.

    Raises RecordingError that names the line.
    """
    queries, seen = [], set()
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # a text may hold other ends of lines, as U+2028
    except FileNotFoundError as error:
        raise RecordingError(f"there is no {path}; `lisa-ros scannet queries SCAN --out {path}` writes one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            query = _from_json(json.loads(line))
        except (ValueError, TypeError, KeyError, ConfigurationError) as error:
            raise RecordingError(f"{path}, line {number} is no query: {error}") from error
        if (query.scene, query.query_id) in seen:
            raise RecordingError(f"{path}, line {number}: {query.query_id!r} of {query.scene} occurs twice")
        seen.add((query.scene, query.query_id))
        if annotation is None or query.scene == annotation.scene:
            _check_objects(query, annotation, f"{path}, line {number}")
            queries.append(query)
    return queries


def write_queries(path: Path, queries: Iterable[SceneQuery]):
    """Writes a queries file. Raises ConfigurationError where that is not possible."""
    lines = [json.dumps(_to_json(query), ensure_ascii=False) + "\n" for query in queries]
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


def generate_queries(
    annotation: Annotation,
    negatives: int = 4,
    frames: Iterable[int] | None = None,
    visible: Container[int] | None = None,
) -> list[SceneQuery]:
    """A query for each category in the scan, and `negatives` for frequent categories that it has not.

    frames: asked in these alone. visible: categories without any of these objects are not asked for. The same scan
    always gets the same queries; fewer negatives where the label table has no more to offer.
    """
    frames = None if frames is None else tuple(frames)
    absent = _absent_categories(annotation)
    chosen = random.Random(annotation.scene).sample(absent, min(negatives, len(absent)))
    rows = [("category", text, ids) for text, ids in _category_texts(annotation)
            if visible is None or any(number in visible for number in ids)]  # fmt: skip
    rows += [("negative", f"the {name}", ()) for name in chosen]
    return [
        SceneQuery(annotation.scene, f"{kind}-{number:03d}", text, kind, ids, frames)
        for number, (kind, text, ids) in enumerate(rows)
    ]


def _category_texts(annotation: Annotation) -> Iterable[tuple[str, tuple[int, ...]]]:
    """Words and objects of each category: an "office chair" beside a "chair" is one of the chairs."""
    members = defaultdict(list)
    for item in annotation.objects.values():
        row = annotation.categories[item.label]
        if not _is_structure(row):
            members[row.category or row.raw].append(item)
    for category, items in sorted(members.items()):
        labels = {item.label for item in items}
        name = labels.pop() if len(labels) == 1 else category
        yield ("the " if len(items) == 1 else "every ") + name, tuple(sorted(item.id for item in items))


def _absent_categories(annotation: Annotation, most: int = 100) -> list[str]:
    """The most frequent categories of the table that share no word with anything in the scan."""
    rows = [annotation.categories[item.label] for item in annotation.objects.values()]
    present = {word for row in rows for word in f"{row.raw} {row.category}".split()}
    counts = defaultdict(int)
    for row in annotation.categories.values():
        if row.category and not _is_structure(row):
            counts[row.category] += row.count
    absent = [name for name in counts if not present & set(name.split())]
    return sorted(absent, key=lambda name: (-counts[name], name))[:most]


def _is_structure(row: Category) -> bool:
    return not STRUCTURE.isdisjoint((row.raw, row.category))


def _check_objects(query: SceneQuery, annotation: Annotation | None, place: str):
    unknown = sorted(set(query.object_ids) - set(annotation.objects)) if annotation else []
    if unknown:
        raise RecordingError(f"{place}: {query.scene} has no objects {unknown}")


def _from_json(row: dict) -> SceneQuery:
    known = {"scene", "query_id", "text", "kind", "object_ids", "frames", "window"}
    if not isinstance(row, dict) or not row.keys() <= known:
        raise ConfigurationError(f"its keys must be among {', '.join(sorted(known))}")
    for name in ("scene", "query_id", "text", "kind"):
        if not isinstance(row.get(name), str):
            raise ConfigurationError(f"{name} must be text, not {row.get(name)!r}")
        if not is_whole(row[name]):
            raise ConfigurationError(f"{name} {row[name]!r} has half a character (a lone surrogate); write it whole")
    numbers = {name: _whole_numbers(name, row.get(name)) for name in ("object_ids", "frames", "window")}
    if numbers["window"] is not None and len(numbers["window"]) != 2:
        raise ConfigurationError("window must be the first and the last frame")
    return SceneQuery(
        row["scene"], row["query_id"], row["text"], row["kind"],
        numbers["object_ids"] or (), numbers["frames"], numbers["window"],
    )  # fmt: skip


def _whole_numbers(name: str, values) -> tuple[int, ...] | None:
    if values is None:
        return None
    if not isinstance(values, list) or not all(type(value) is int and value >= 0 for value in values):
        raise ConfigurationError(f"{name} must be a list of whole numbers from 0, not {values!r}")
    return tuple(values)


def _to_json(query: SceneQuery) -> dict:
    row = {"scene": query.scene, "query_id": query.query_id, "text": query.text, "kind": query.kind,
           "object_ids": list(query.object_ids)}  # fmt: skip
    for name in ("frames", "window"):
        if getattr(query, name) is not None:
            row[name] = list(getattr(query, name))
    return row
