"""Starts the graph, asks, and always ends what it has started."""

import os
import random
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lisa_ros import graph
from lisa_ros.demo.page import write_report
from lisa_ros.demo.questions import HEIGHT, WIDTH, DemoScene, choose_scenes
from lisa_ros.demo.records import Record, score
from lisa_ros.launcher import RunningGraph
from lisa_ros.simulator import scene_at

_START_TIMEOUT = 300.0  # s; the first start on a machine compiles the ray-caster and reads the weights from disk
_CAMERA_TIMEOUT = 120.0
_QUERY_TIMEOUT = 120.0


class Log:
    """What the processes write: into a file, and the last lines at hand for error messages. Used from any thread."""

    def __init__(self, path: Path):
        self._file = path.open("w", encoding="utf-8")
        self._lock = threading.Lock()
        self.last: deque[str] = deque(maxlen=8)

    def write(self, name: str, line: str):
        """One line of a process."""
        with self._lock:
            self.last.append(f"[{name}] {line}")
            if not self._file.closed:
                self._file.write(self.last[-1] + "\n")
                self._file.flush()

    def close(self):
        """Ends the file."""
        with self._lock:
            self._file.close()


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
    Returns the records and the content of summary.json. Raises NoReplyError where the graph does not start,
    GraphEndedError where one of its processes ends, ConfigurationError where a file cannot be written.
    """
    started = time.perf_counter()
    perception, camera = processes or graph.processes({"camera": "simulator"})
    perception = replace(perception, parameters={**perception.parameters, **parameters, "autostart": False})
    with _signals_as_interrupt():
        _isolate()
        log = Log(folder / "log.txt")
        try:
            records = _ask_all(perception, camera, scenes or choose_scenes(), log, write)
        finally:
            log.close()
        write("drawing pictures and clouds")
        content = write_report(folder, records, time.perf_counter() - started, lambda name: write(f"  {name}"))
    return records, content


def _ask_all(perception: graph.Process, camera: graph.Process, scenes, log: Log, write) -> list[Record]:
    from lisa_ros.nodes.asker import Asker

    running: list[RunningGraph] = []
    records: list[Record] = []
    with (
        _started(running, [perception], log),
        Asker(perception.namespace, lambda: _check(running, log)) as asker,
    ):
        write("starting the perception node, choosing scenes and questions")
        scenes = list(scenes)
        total = sum(len(scene.queries) for scene in scenes)
        _activate(asker, log)
        for scene in scenes:
            seen = ", ".join(f"{item.colour} {item.category}" for item in scene.scene.objects)
            write(f"\nthe camera shows scene {scene.seed}: {seen}")
            with _started(running, [_showing(camera, scene)], log):
                asker.wait_scene(scene.seed, _CAMERA_TIMEOUT)
                for query in scene.queries:
                    records.append(_ask(asker, scene, query, len(records) + 1))
                    write(progress_line(records[-1], total))
    return records


def _activate(asker, log: Log):
    from lisa_ros.nodes.asker import NoReplyError

    try:
        asker.activate(_START_TIMEOUT)
    except NoReplyError as error:
        raise NoReplyError(f"{error}: {' | '.join(log.last)}") from error


def _ask(asker, scene: DemoScene, query, number: int) -> Record:
    from lisa_ros.nodes.asker import ACTION, TOPIC, NoReplyError

    via = TOPIC if number % 2 else ACTION
    try:
        reply = asker.ask(query.text, via, _QUERY_TIMEOUT)
    except NoReplyError as error:
        return score(number, via, query, scene.scene, None, str(error))
    if reply.scene is None or reply.scene[0] != scene.seed:
        return score(number, via, query, scene.scene, None, f"the segmented image is not of this scene: {reply.scene}")
    seed, motion_time = reply.scene
    return score(number, via, query, scene_at(seed, motion_time, "static", HEIGHT, WIDTH), reply)


def progress_line(record: Record, total: int) -> str:
    """One question and its outcome."""
    answer = record.reply.result.answer if record.answered else record.message
    seconds = f"{record.reply.seconds:5.2f} s" if record.reply else "      - "
    return (
        f"[{record.number:2d}/{total}] {record.query.kind:<11} by {record.via:<6} {record.status:<10} "
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


def _check(running: list[RunningGraph], log: Log):
    from lisa_ros.nodes.asker import GraphEndedError

    for part in running:
        if name := part.ended():
            raise GraphEndedError(
                f"the process {name} ended with status {part.status(name)}; its last words: {' | '.join(log.last)}"
            )


def _isolate():
    """Loopback discovery and a ROS domain of its own: the demo neither sees nor disturbs a robot in the network."""
    os.environ.update(
        ROS_DOMAIN_ID=str(_free_domain()),
        ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",  # Iron and newer
        ROS_LOCALHOST_ONLY="1",  # Humble
        **graph.environment(),
    )


def _free_domain() -> int:
    """A domain in 1..100 whose first participant's discovery port is free on this machine."""
    candidates = list(range(1, 101))
    random.shuffle(candidates)
    for domain in candidates:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7400 + 250 * domain + 10))
            except OSError:
                continue
            return domain
    return candidates[0]


@contextmanager
def _signals_as_interrupt():
    """The first SIGINT, SIGTERM or SIGHUP interrupts; further ones do not disturb the ending of the processes."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(*_):
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
