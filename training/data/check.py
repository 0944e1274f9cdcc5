"""What of the data sets is there: files counted, samples read, and where the rest comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from lisa_ros.errors import ConfigurationError, LisaError
from lisa_ros.progress import track
from training.config.train_config import load_config
from training.data.catalogue import CATALOGUE, DRAWN, entry
from training.data.hybrid import DatasetReader
from training.data.sources import TRAINING, VALIDATION

COMPLETE, PARTIAL, MISSING, DAMAGED = "complete", "partial", "missing", "damaged"
_SHOWN = 3  # absent files, and samples that cannot be read, that the table names


@dataclass(frozen=True)
class Status:
    """State of one data set.

    Attributes:
        name: Name of the data set.
        state: COMPLETE; PARTIAL (fewer files than published or than the samples need, the rest can be used); MISSING (a
            required file does not exist, or no sample is complete); DAMAGED (the data set cannot be opened, or a sample
            that was read is broken).
        samples: Number of samples; None if the data set cannot be opened, or needs no files.
        files: Glob pattern, number found, number published (or None).
        absent: Files of samples that do not exist.
        error: Why the data set cannot be opened, "" if it can.
        broken: Why samples cannot be read, one reason each.
    """

    name: str
    state: str
    samples: int | None
    files: tuple[tuple[str, int, int | None], ...]
    absent: tuple[Path, ...] = ()
    error: str = ""
    broken: tuple[str, ...] = ()


def check(root: Path, names: Sequence[str] = (), read: int = 3) -> list[Status]:
    """Checks the data sets in a folder.

    Args:
        root: Folder of the data sets.
        names: Data sets as a run's YAML names them; by default all of the catalogue.
        read: Number of samples of each data set to read, evenly distributed.

    Returns:
        The state of each data set.

    Raises:
        ConfigurationError: If a name is unknown, `root` is not a directory, or `read` is below 0.
    """
    if read < 0:
        raise ConfigurationError(f"--read is {read}; it must be 0 or above")
    if not Path(root).is_dir():
        raise ConfigurationError(f"{root} is no directory")
    known = TRAINING | VALIDATION
    unknown = sorted(set(names) - known.keys())
    if unknown:
        raise ConfigurationError(f"{', '.join(unknown)}: no such data set; there are {', '.join(known)}")
    return [_status(Path(root), name, read) for name in track(names or tuple(CATALOGUE), unit="set", keep=False)]


def names_with_files(root: Path) -> list[str]:
    """The data sets of which at least one file of their own is below `root`; pictures that are shared do not count."""
    return [name for name, one in CATALOGUE.items() if any(True for _ in Path(root).glob(one.files[0][0]))]


def names_of_run(config: Path) -> list[str]:
    """The data sets that a run's YAML names, those of its validation too. Raises ConfigurationError."""
    run = load_config(config)
    names = [name for group in run.data.groups.values() for name in group.sets]
    return list(dict.fromkeys([*names, *run.validation.data]))


def _status(root: Path, name: str, read: int) -> Status:
    patterns = entry(name).files
    if entry(name) == DRAWN:
        return Status(name, COMPLETE, None, ())
    files = tuple((pattern, sum(1 for _ in root.glob(pattern)), published) for pattern, published in patterns)
    if not all(found for _, found, _ in files):
        return Status(name, MISSING, None, files)
    try:
        reader = (TRAINING | VALIDATION)[name](root)
    except LisaError as error:
        return Status(name, DAMAGED if files else MISSING, None, files, error=str(error))
    if not len(reader):
        return Status(name, MISSING, 0, files, error="it holds no samples")
    exists = cache(Path.exists)
    lacking, whole, broken = set(), [], []
    for index in range(len(reader)):
        try:
            paths = [path for path in _files_of(reader, index) if not exists(path)]
        except LisaError as error:  # an annotation that does not name its files
            broken.append(str(error))
            continue
        lacking.update(paths)
        if not paths:
            whole.append(index)
    for position in np.linspace(0, len(whole) - 1, min(read, len(whole))).astype(int).tolist():
        try:
            list(reader[whole[position]].turns)
        except LisaError as error:
            broken.append(str(error))
    absent = tuple(sorted(lacking))
    complete = not absent and all(published is None or found >= published for _, found, published in files)
    state = DAMAGED if broken else COMPLETE if complete else PARTIAL if whole else MISSING
    return Status(name, state, len(reader), files, absent, broken=tuple(broken))


def _files_of(reader: DatasetReader, index: int) -> Sequence[Path]:
    """Files of a sample; a registered data set need not list them."""
    return reader.files(index) if hasattr(reader, "files") else ()


def table(statuses: Sequence[Status]) -> str:
    """The states as text, then what is missing, with its source."""
    width = max(len(status.name) for status in statuses)
    lines = [f"{'data set':{width}}  {'state':8}  {'samples':>9}"]
    for status in statuses:
        samples = "" if status.samples is None else status.samples
        lines.append(f"{status.name:{width}}  {status.state:8}  {samples:>9}".rstrip())
    for status in statuses:
        if status.state != COMPLETE:
            lines += ["", *_details(status)]
    return "\n".join(lines)


def _details(status: Status) -> list[str]:
    lines = [f"{status.name}: {entry(status.name).home}"]
    for pattern, found, published in status.files:
        if not found or found < (published or 0):
            lines.append(f"  {pattern}: {found}" + (f" of {published}" if published else ""))
    if status.absent:
        shown = ", ".join(str(path) for path in status.absent[:_SHOWN])
        lines.append(f"  {len(status.absent)} files of its {status.samples} samples are not there, as {shown}")
    if status.broken:
        lines.append(f"  {len(status.broken)} of the samples that were read are broken:")
        lines += [f"    {reason}" for reason in status.broken[:_SHOWN]]
    return lines + ([f"  {status.error}"] if status.error else [])
