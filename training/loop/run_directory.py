"""The files of a run: `last.pt` to resume from, `best.pt`, logs. Each is replaced atomically, so a kill spoils none."""

import errno
import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml

from lisa_ros.model.saving import write_atomically
from training.errors import TrainingError
from training.loop.run_lock import RunLock

LAST, BEST, LOG, CONFIG = "last.pt", "best.pt", "log.jsonl", "settings.yaml"
VALIDATION = "validation"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass
class TrainerState:
    """The progress of a run.

    Attributes:
        step: Completed optimizer steps.
        items: Items of the data stream that they used, over all processes.
        skipped: Items that were skipped so far.
        validated: Step of the last validation.
        best_giou: Best gIoU on the data `best_of`; None before the first validation.
        best_of: Validation set and number of images that `best_giou` was measured on.
    """

    step: int = 0
    items: int = 0
    skipped: int = 0
    validated: int = 0
    best_giou: float | None = None
    best_of: str = ""


@dataclass(frozen=True)
class TrainingCheckpoint:
    """The content of `last.pt` or `best.pt`.

    Attributes:
        state: Progress of the run.
        weights: Trained parameters by name.
        optimizer: State dict of the optimizer; None in a file of weights alone.
        metrics: Validation scores of `best.pt`.
        identity: What the weights belong to (`training.model.identity`); {} in files of earlier versions.
    """

    state: TrainerState
    weights: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, object] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    identity: Mapping[str, object] = field(default_factory=dict)


class RunDirectory:
    """The files of one run; only the main process writes them.

    Args:
        path: Directory of the run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last, self.best, self.log = path / LAST, path / BEST, path / LOG
        self._lock = RunLock(path)

    def prepare(self) -> None:
        """Makes the directory, locks it, removes what a killed save left.

        Raises TrainingError if it cannot be written, or another run is in it.
        """
        with self._writing():
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            for name in (LAST, BEST):
                for leftover in self.path.glob(f".{name}.*"):
                    leftover.unlink()

    def release(self) -> None:
        """Lets another run in."""
        self._lock.release()

    def save_config(self, config_yaml: str) -> list[str]:
        """Writes the resolved configuration; returns what differs from the ones before, each as "key: old -> new"."""
        path, changed = self.path / CONFIG, []
        with self._writing():
            if path.exists():
                changed = _differences(path.read_text(encoding="utf-8"), config_yaml)
            write_atomically(path, lambda temporary: temporary.write_text(config_yaml, encoding="utf-8"))
        return changed

    def save(self, path: Path, checkpoint: TrainingCheckpoint) -> None:
        """Replaces a file. Raises TrainingError if the disk is full; the old file is then still there."""
        payload = {
            "progress": vars(checkpoint.state).copy(),
            "weights": dict(checkpoint.weights),
            "optimizer": checkpoint.optimizer,
            "metrics": dict(checkpoint.metrics),
            "identity": dict(checkpoint.identity),
        }
        try:
            write_atomically(path, lambda temporary: _save(payload, temporary))
        except OSError as error:
            problem = "the disk is full" if error.errno in _NO_SPACE else error.strerror or str(error)
            kept = f"the last good state is still in {path}" if path.exists() else "no state was saved before"
            raise TrainingError(
                f"cannot write {path} at step {checkpoint.state.step}: {problem}; {kept}. "
                "Make room and start the same command again"
            ) from error

    def append_log(self, record: Mapping[str, object]) -> None:
        """Adds a line to log.jsonl. Raises TrainingError if it cannot be written."""
        try:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise TrainingError(f"cannot write {self.log}: {error.strerror}; what was saved before is valid") from error

    def append_skipped(self, rank: int, reason: str) -> None:
        """Notes an item that was left out, in skipped_<rank>.log. Raises TrainingError if it cannot be written."""
        try:
            with open(self.path / f"skipped_{rank}.log", "a", encoding="utf-8") as file:
                file.write(reason + "\n")
        except OSError as error:
            raise TrainingError(f"cannot write in {self.path}: {error.strerror}") from error

    def write_validation(self, name: str, record: Mapping[str, object]) -> Path:
        """Writes a validation's scores; returns the file. Raises TrainingError if it cannot be written."""
        path = self.path / VALIDATION / f"{name}.json"
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda temporary: temporary.write_text(json.dumps(record, indent=2) + "\n"))
        return path

    def cut_log(self, state: TrainerState) -> None:
        """Drops what is about to be computed again: steps and validations after `state`, a line half written."""
        if not self.log.exists():
            return
        kept = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
                if record["step"] <= (state.validated if "validation" in record else state.step):
                    kept.append(line + "\n")
            except ValueError:
                break
        with self._writing():
            write_atomically(self.log, lambda path: path.write_text("".join(kept), encoding="utf-8"))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"cannot write in {self.path}: {error.strerror or error}; run_dir must be a directory to write in, "
                "with room"
            ) from error


def _differences(before: str, after: str) -> list[str]:
    try:
        old, new = _flat(yaml.safe_load(before)), _flat(yaml.safe_load(after))
    except (yaml.YAMLError, AttributeError):
        return []  # edited by hand: settings.yaml is a record, nothing is read from it
    keys = [*old, *(key for key in new if key not in old)]
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys if old.get(key) != new.get(key)]


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def _save(payload: object, path: Path) -> None:
    with open(path, "wb") as file:
        try:
            torch.save(payload, file)
        except RuntimeError as error:  # torch's writer hides what the file said
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def read_checkpoint(path: Path) -> TrainingCheckpoint:
    """Reads what `save` wrote; raises TrainingError if it is damaged."""
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        state = TrainerState(**values["progress"])
        return TrainingCheckpoint(
            state, values["weights"], values["optimizer"], values["metrics"], values.get("identity", {})
        )
    except FileNotFoundError:
        raise TrainingError(f"there is no checkpoint {path}; train first") from None
    except (pickle.UnpicklingError, OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
        raise TrainingError(f"{path} is damaged ({type(error).__name__}: {error}); remove it to start again") from error
