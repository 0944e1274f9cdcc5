"""Starts the graph, asks, and always ends what it has started."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lisa_ros import graph
from lisa_ros.demo.page import write_report
from lisa_ros.demo.phrase_queries import PhraseQuery
from lisa_ros.demo.questions import HEIGHT, WIDTH, DemoScene, choose_scenes
from lisa_ros.demo.records import Record, score, told
from lisa_ros.errors import NoResultError
from lisa_ros.launcher import RunningGraph, prepare_machine
from lisa_ros.private_graph import Log, check_running, isolate, signals_as_interrupt
from lisa_ros.simulator import scene_at

_PROCESSES = 3  # of ROS: perception, camera, this one
_START_TIMEOUT = 300.0  # s; the first start on a machine compiles the ray-caster and reads the weights from disk
_CAMERA_TIMEOUT = 120.0
_QUERY_TIMEOUT = 120.0


def run_demo(
    folder: Path,
    parameters: Mapping[str, str],
    write: Callable[[str], None],
    processes: list[graph.Process] | None = None,
    scenes: Iterable[DemoScene] | None = None,
) -> tuple[list[Record], dict]:
    """Runs the demo and writes its report to a folder that exists.

    parameters: of the perception node. write: gets lines for the person who watches. processes: perception and camera,
    default those of the graph with the simulated camera. scenes: default `choose_scenes()`.
    Returns the records and the content of summary.json. Raises NoResultError where the graph does not start,
    GraphEndedError where one of its processes ends, ConfigurationError where a file cannot be written.
    """
    started = time.perf_counter()
    perception, camera = processes or graph.processes({"camera": "simulator"})
    perception = replace(perception, parameters={**perception.parameters, **parameters, "autostart": False})
    with signals_as_interrupt():
        isolate()
        prepare_machine(_PROCESSES, write)
        log = Log(folder / "log.txt")
        try:
            records = _ask_all(perception, camera, scenes or choose_scenes(), log, write)
        finally:
            log.close()
        write("drawing pictures and clouds")
        content = write_report(folder, records, time.perf_counter() - started, lambda name: write(f"  {name}"))
    return records, content


def _ask_all(perception: graph.Process, camera: graph.Process, scenes, log: Log, write) -> list[Record]:
    from lisa_ros.client.graph_client import GraphClient

    running: list[RunningGraph] = []
    records: list[Record] = []
    with (
        _started(running, [perception], log),
        GraphClient(perception.namespace, lambda: check_running(running, log)) as client,
    ):
        write("starting the perception node, choosing scenes and questions")
        scenes = list(scenes)
        total = sum(len(scene.queries) for scene in scenes)
        _activate(client, log)
        for scene in scenes:
            seen = ", ".join(f"{item.colour} {item.category}" for item in scene.scene.objects)
            write(f"\nthe camera shows scene {scene.seed}: {seen}")
            with _started(running, [_showing(camera, scene)], log):
                client.wait_scene(scene.seed, _CAMERA_TIMEOUT)
                for query in scene.queries:
                    records.append(_ask(client, scene, query, len(records) + 1))
                    write(progress_line(records[-1], total))
    return records


def _activate(client, log: Log):
    try:
        client.activate(_START_TIMEOUT)
    except NoResultError as error:
        raise NoResultError(f"{error}: {' | '.join(log.last)}") from error


def _ask(client, scene: DemoScene, query, number: int) -> Record:
    from lisa_ros.client.graph_client import ACTION, TOPIC

    via = TOPIC if number % 2 and not isinstance(query, PhraseQuery) else ACTION
    try:
        if isinstance(query, PhraseQuery):
            timed = client.ask_phrases(query.asked, _QUERY_TIMEOUT)
        else:
            timed = client.ask(query.text, via, _QUERY_TIMEOUT)
    except NoResultError as error:
        return score(number, via, query, scene.scene, None, str(error))
    if timed.scene is None or timed.scene[0] != scene.seed:
        return score(number, via, query, scene.scene, None, f"the segmented image is not of this scene: {timed.scene}")
    seed, motion_time = timed.scene
    return score(number, via, query, scene_at(seed, motion_time, "static", HEIGHT, WIDTH), timed)


def progress_line(record: Record, total: int) -> str:
    """One question and its outcome."""
    answer = told(record) if record.answered else record.message
    seconds = f"{record.timed.seconds:5.2f} s" if record.timed else "      - "
    return (
        f"[{record.number:2d}/{total}] {record.query.kind:<13} by {record.via:<6} {record.status:<10} "
        f"IoU {record.iou:4.2f} {seconds}  {record.query.text}\n{'':8}-> {answer}"
    )


def _showing(camera: graph.Process, scene: DemoScene) -> graph.Process:
    wanted = {"seed": scene.seed, "width": WIDTH, "height": HEIGHT, "rate": 15.0, "motion": "static"}
    return replace(camera, parameters={**camera.parameters, **wanted})


@contextmanager
def _started(running: list[RunningGraph], processes: list[graph.Process], log: Log):
    with RunningGraph(processes, log.write) as started:
        running.append(started)
        try:
            yield
        finally:
            running.remove(started)
