"""All protocols on one recording, one after the other, and what they leave behind."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from lisa_ros import graph
from lisa_ros.errors import NoResultError
from lisa_ros.evaluation.files import write_summary
from lisa_ros.evaluation.scans.baselines import baselines
from lisa_ros.evaluation.scans.figures import LOCKSTEP, OFFLINE, REALTIME, TRUTH
from lisa_ros.evaluation.scans.offline import Baseline, run_offline
from lisa_ros.evaluation.scans.rows import write_rows, write_table
from lisa_ros.evaluation.scans.scan import Scan, ScanPaths
from lisa_ros.evaluation.scans.scoring import Scorer
from lisa_ros.launcher import RunningGraph, prepare_machine
from lisa_ros.nodes.perception.parameters import PerceptionParameters, parameter_definitions
from lisa_ros.private_graph import Log, check_running, isolate, signals_as_interrupt
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.replay.lockstep import run_lockstep
from lisa_ros.replay.realtime import RealtimeFacts, run_realtime
from lisa_ros.replay.replay_report import write_page
from lisa_ros.replay.replay_summary import summarise
from lisa_ros.replay.truth_engine import write_paths

_START_TIMEOUT = 600.0  # s; LISA-13B from a slow disk
_HEARD_TIMEOUT = 60.0
_PROCESSES = 2  # of ROS at a time: perception, this one
_TRUTH_NODE = "lisa_ros.replay.truth_node"


@dataclass(frozen=True)
class ReplayOptions:
    """values: launch arguments of the perception node (`lisa_ros.graph`). timeout: s for one answer.

    node: module that runs the perception node. load: settings -> `Lisa`, for the offline run; None for the model that
    the settings name. extra_baselines: name -> call(scan), which gives the baseline.
    """

    paths: ScanPaths
    out: Path
    values: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 120.0
    node: str = "lisa_ros.nodes.perception"
    load: Callable | None = None
    extra_baselines: Mapping[str, Callable[[Scan], Baseline]] = field(default_factory=dict)


def run_replay(options: ReplayOptions, write: Callable[[str], None]) -> dict:
    """Evaluates one recording; summary.json, report.html, rows.jsonl, rows.csv, masks and log.txt go to `options.out`.

    write: gets lines for the person who watches. Returns the content of summary.json.
    Raises RecordingError, ConfigurationError, NoResultError where the node does not start.
    """
    started = time.perf_counter()
    options.out.mkdir(parents=True, exist_ok=True)
    masks = options.out / "masks"
    with signals_as_interrupt(), Scan(options.paths) as scan:
        isolate()
        prepare_machine(_PROCESSES, write)
        write(f"{scan.scene}: {len(scan.cases)} questions about {len(scan.frames)} of {len(scan.bag)} frames")
        process = perception_process(scan.bag, options)
        settings = settings_of(process)
        extra = {name: make(scan) for name, make in options.extra_baselines.items()}
        scorers = {name: Scorer(name, scan, masks / name) for name in (TRUTH, LOCKSTEP, REALTIME, OFFLINE)}
        log = Log(options.out / "log.txt")
        try:
            ended, facts = _over_ros(options, process, scan, scorers, log, write)
        finally:
            log.close()
        write("offline: the same core on the .sens file, and the baselines")
        others = {name: (make, Scorer(name, scan)) for name, make in {**baselines(scan), **extra}.items()}
        model = _offline(options, settings, scan, scorers[OFFLINE], others)
        scorers |= {name: scorer for name, (_, scorer) in others.items()}
        summary = summarise(options, scan, scorers, others, facts, ended)
        summary |= {"model": model, "seconds": round(time.perf_counter() - started, 1)}
        rows = [row for scorer in scorers.values() for row in scorer.rows]
        write_rows(options.out / "rows.jsonl", rows)
        write_table(options.out / "rows.csv", rows)
        write_summary(options.out / "summary.json", summary)
        write_page(options.out, summary, scan, rows)
    return summary


def _over_ros(options, process, scan, scorers, log, write) -> tuple[list[str], RealtimeFacts]:
    """Truth, lockstep and real time. Returns why a node ended, of each of the first two, and the facts of the third."""
    truth_file = options.out / "truth.json"
    write_paths(truth_file, scan.paths)
    truth = replace(process, module=_TRUTH_NODE, parameters={**process.parameters, "model": str(truth_file)})
    write("truth: the real node with the true masks in the model's place")
    with _node(truth, scan.bag, log) as client:
        ended = [run_lockstep(client, scan, scorers[TRUTH], options.timeout)]
    write("lockstep: starting the perception node")
    with _node(process, scan.bag, log) as client:
        ended.append(run_lockstep(client, scan, scorers[LOCKSTEP], options.timeout))
        if ended[1]:
            return ended, RealtimeFacts()
        write("real time: the bag at its own speed")
        return ended, run_realtime(client, scan, scorers[REALTIME], options.timeout)


@contextmanager
def _node(process: graph.Process, bag: RgbdBag, log: Log) -> Iterator:
    """The node, active and subscribed to the bag's topics, as a `BagEvaluator` of it."""
    from lisa_ros.replay.bag_evaluator import BagEvaluator

    with (
        RunningGraph([process], log.write) as running,
        BagEvaluator(process.namespace, bag, lambda: check_running([running], log)) as client,
    ):
        try:
            client.activate(_START_TIMEOUT)
            client.wait_for_subscribers(_HEARD_TIMEOUT)
        except NoResultError as error:
            raise NoResultError(f"{error}: {' | '.join(log.last)}") from error
        yield client


def _offline(options, settings, scan, scorer, others) -> str:
    """Returns the model's provenance."""
    from lisa_ros.nodes.perception.inference.model_manager import load_lisa

    lisa = (options.load or load_lisa)(settings)
    run_offline(lisa, settings, scan, scorer, others)
    return lisa.provenance


def perception_process(bag: RgbdBag, options: ReplayOptions) -> graph.Process:
    """The perception node on the topics of a bag, with clouds in the camera's optical frame."""
    topics = {"use_sim_time": "true"}
    for topic, role in bag.roles.items():
        if role == "camera_info":
            topics["camera_info_topic"] = topic
        for stream, transport in (("image", "compressed"), ("depth", "compressedDepth")):
            if role == stream:
                is_compressed = topic.endswith("/" + transport)
                topics[f"{stream}_topic"] = topic.removesuffix("/" + transport)
                topics[f"{stream}_transport"] = transport if is_compressed else "raw"
    (process,) = graph.processes({**options.values, **topics})
    own = {"autostart": False, "target_frame": "", "standing_query": ""}
    return replace(process, module=options.node, parameters={**process.parameters, **own})


def settings_of(process: graph.Process) -> PerceptionParameters:
    """What the node will run under: its defaults, its parameter files, its parameters."""
    values = {setting.name: setting.default for setting in parameter_definitions()}
    known = set(values)
    for path in process.parameter_files:
        for key, content in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).items():
            if key in ("/**", process.name, f"/{process.namespace}/{process.name}"):
                values |= content["ros__parameters"]
    values |= process.parameters
    return PerceptionParameters.from_values({name: value for name, value in values.items() if name in known})
