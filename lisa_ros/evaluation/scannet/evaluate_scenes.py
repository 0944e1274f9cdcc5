"""Many scenes: in this process or over a Ray cluster; resumable; one summary and one page of them all."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from lisa_ros.errors import ConfigurationError, RecordingError
from lisa_ros.evaluation.files import convert_write_errors, exclusive_lock, write_json, write_summary
from lisa_ros.evaluation.scannet.ray_workers import evaluate_with_ray
from lisa_ros.evaluation.scannet.scene import GenerationOptions, SceneJob, SceneResult, evaluate_scene
from lisa_ros.evaluation.scannet.scenes_report import write_page
from lisa_ros.evaluation.scans.figures import OFFLINE, score_figures
from lisa_ros.evaluation.scans.rows import write_rows, write_table
from lisa_ros.progress import track

_ARGUMENTS, _RESULT = "evaluation.json", "result.json"


@dataclass(frozen=True)
class ScannetOptions:
    """What to evaluate, and where.

    load: gives the model and its digest; is sent to other machines where there are any. arguments: what was asked for,
    as JSON; `out` holds results of the same arguments only. ray: address of a cluster, None for this process. workers,
    device: see `evaluate_with_ray`.
    """

    scenes: Sequence[SceneJob]
    out: Path
    load: Callable[[], tuple[object, str]]
    asking: GenerationOptions
    arguments: dict
    ray: str | None = None
    workers: int | None = None
    device: str = "auto"


def run_scenes(options: ScannetOptions, write: Callable[[str], None]) -> dict:
    """Evaluates the scenes that `options.out` has no result of; returns the content of summary.json.

    Each result is on disk before the next one is waited for. A scene that failed is tried again by the next run.
    write: gets lines for the person who watches. Raises ConfigurationError, CheckpointError, MemoryBudgetError.
    """
    started = time.perf_counter()
    out = options.out / "scenes"
    with convert_write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(out):
        _check_arguments(options)
        done = {scene.name: result for scene in options.scenes if (result := _read(out / scene.name))}
        _check_content([scene for scene in options.scenes if scene.name in done], done, out, write)
        left = [scene for scene in options.scenes if scene.name not in done]
        if done:
            write(f"{len(done)} of {len(options.scenes)} scenes are done already")
        results = _outcomes(options, left, done, write)
        scenes, before = len(options.scenes), len(done)
        for result in track(results, description="scenes", total=scenes, first=before, unit="scene"):
            if result.error:
                write(f"{result.scene}: {result.error}\n{result.details}".strip())
            else:
                _check_same(result, done.values())
            _save(out / result.scene, result)
            done[result.scene] = result
        in_order = [done[scene.name] for scene in options.scenes]
        summary = summarise(in_order) | {"seconds": round(time.perf_counter() - started, 1)}
        _write_all(options.out, in_order, summary)
    return summary


def summarise(results: Sequence[SceneResult]) -> dict:
    """What summary.json holds.

    scores: of all scenes together, intervals over scenes; baselines, scenes: of each of them; failed: scene -> why;
    damaged: scene -> frame -> why it was not asked about.
    """
    rows = [row for result in results for row in result.rows]
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    figures = {name: score_figures([row for row in rows if row.protocol == name]) for name in protocols}
    good = [result for result in results if not result.error]
    return {
        "model": good[0].model if good else None,
        "weights": good[0].weights if good else None,
        "scores": figures.pop(OFFLINE, score_figures([])),
        "baselines": figures,
        "scenes": {o.scene: score_figures([row for row in o.rows if row.protocol == OFFLINE]) for o in good},
        "without_truth": sum(result.without_truth for result in good),
        "damaged": {o.scene: {str(frame): why for frame, why in o.damaged.items()} for o in good if o.damaged},
        "failed": {result.scene: result.error for result in results if result.error},
    }


def _outcomes(
    options: ScannetOptions, scenes: Sequence[SceneJob], done: Mapping[str, SceneResult], write: Callable[[str], None]
) -> Iterator[SceneResult]:
    if options.ray is not None:
        if scenes:
            yield from evaluate_with_ray(
                scenes, options.load, options.asking, options.ray, options.workers, options.device, write
            )
        else:
            write("nothing is left to ask: whether the checkpoint has still the weights that were asked is not checked")
        return
    lisa, weights = options.load()  # also where nothing is left: results of other weights must not pass for its own
    other = _of_other_weights(weights, done.values())
    if other is not None:
        raise ConfigurationError(
            f"the checkpoint has other weights now than when {other.scene} was evaluated ({weights}, {other.weights}): "
            "choose another --out"
        )
    for scene in scenes:
        yield evaluate_scene(lisa, weights, scene, options.asking)


def _check_arguments(options: ScannetOptions) -> None:
    path = options.out / _ARGUMENTS
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigurationError(f"{path} cannot be read: {error}; choose another --out or remove it") from error
        differ = [name for name, value in options.arguments.items() if known.get(name) != value]
        if differ and any(map(_read, (options.out / "scenes").iterdir())):  # a mistyped model leaves nothing to mix
            what = "; ".join(f"{name}: {known.get(name)!r}, now {options.arguments[name]!r}" for name in differ)
            raise ConfigurationError(
                f"{options.out} belongs to another evaluation ({what}): choose another --out or remove it"
            )
    write_json(path, options.arguments)


def _check_content(
    scenes: Iterable[SceneJob], done: Mapping[str, SceneResult], out: Path, write: Callable[[str], None]
) -> None:
    """Raises ConfigurationError where a scene was evaluated with other questions, pictures or truth than there are."""
    for scene in scenes:
        result, again = done[scene.name], f"remove {out / scene.name} to ask the scene again, or choose another --out"
        if not result.content:
            raise ConfigurationError(
                f"the result of {scene.name} is of an earlier version of lisa_ros and does not say which pictures and "
                f"annotation it was scored with: {again}"
            )
        try:
            now = scene.digests
        except RecordingError as error:  # with Ray, another machine may hold the scans
            write(f"warning: whether the result of {scene.name} still holds is not checked: {error}")
            continue
        for part, what in (("queries", scene.queries_file), ("content", f"what is in {scene.scan}")):
            if getattr(result, part) != now[part]:
                raise ConfigurationError(f"{what} has changed since {scene.name} was evaluated: {again}")


def _check_same(result: SceneResult, others: Iterable[SceneResult]) -> None:
    """Raises ConfigurationError where a machine has other weights under the same name, or they have changed."""
    other = _of_other_weights(result.weights, others)
    if other is not None:
        raise ConfigurationError(
            f"{result.scene} was asked of other weights than {other.scene} ({result.weights}, {other.weights}): "
            "give all machines the same checkpoint, and choose another --out for a new one"
        )


def _of_other_weights(weights: str, results: Iterable[SceneResult]) -> SceneResult | None:
    return next((one for one in results if not one.error and one.weights != weights), None)


def _read(directory: Path) -> SceneResult | None:
    """A result that is there and good; None otherwise."""
    path = directory / _RESULT
    if not path.is_file():
        return None
    try:
        result = SceneResult.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"{path} is not a result of this version: {error}; remove it") from error
    return None if result.error else result


def _save(directory: Path, result: SceneResult) -> None:
    with convert_write_errors(directory):
        directory.mkdir(exist_ok=True)
    for name, sheet in result.sheets.items():
        path = directory / f"{name}.jpg"
        if not cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
            raise ConfigurationError(f"cannot write {path}")
    write_json(directory / _RESULT, result.as_json())  # last: it says that the scene is done


def _write_all(out: Path, results: Sequence[SceneResult], summary: dict) -> None:
    rows = [row for result in results for row in result.rows]
    with convert_write_errors(out):
        write_rows(out / "rows.jsonl", rows)
        write_table(out / "rows.csv", rows)
    write_summary(out / "summary.json", summary)
    write_page(out, summary, rows)
