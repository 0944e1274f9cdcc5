"""Arguments of an evaluation by replay, for `lisa-ros eval bag --out X` and the launch file's `out:=X`."""

from collections.abc import Mapping
from pathlib import Path

from lisa_ros import graph
from lisa_ros.errors import ConfigurationError
from lisa_ros.graph import Argument
from lisa_ros.recordings.topics import TOPIC_WORDS, RgbdTopics
from lisa_ros.sensor_messages.depth_registration import REFUSE, RULES

_NODE = ("params_file", "model", "vision_tower", "precision", "device", "threads", "compile")
_TIMEOUT = 120.0

ARGUMENTS = (
    Argument("bag", "RGB-D bag, as `lisa-ros scannet convert` writes it; empty: a simulated tabletop, recorded first"),
    Argument("queries", "Queries file; empty: queries.jsonl beside the bag"),
    Argument("scan", "The scan's .sens file or folder, with its annotation; empty: beside the bag or the queries"),
    Argument("labels", "ScanNet's label table; empty: beside or above the scan"),
    Argument("out", "Folder for report.html, summary.json, rows.csv and masks", default="out/evaluation"),
    Argument("boundary", "Pixels around the truth's edges that are not scored; empty: 3, in the simulated tabletop 0"),
    Argument("timeout", f"Seconds for one answer; empty: {_TIMEOUT:g}"),
    *(
        Argument(name, f"Topic of the bag: {about}; empty: as lisa-ros writes it")
        for name, about in TOPIC_WORDS.items()
    ),
    Argument(
        "depth_registration", f"Depth of another frame or lens than the image's: {', '.join(RULES)}; empty: {REFUSE}"
    ),
    *(argument for argument in graph.ARGUMENTS if argument.name in _NODE),
    Argument("grounding_dino", "Grounding DINO for the Grounded-SAM baseline: directory or hub id; sam is needed too"),
    Argument("sam", "Segment Anything for that baseline, in transformers' layout: directory or hub id"),
)


def options(values: Mapping[str, str]):
    """`ReplayOptions` from the words of the arguments. Records the example where no bag is named.

    Raises ConfigurationError, RecordingError.
    """
    from lisa_ros.evaluation.scans.scan import ScanPaths
    from lisa_ros.replay.evaluate_recording import ReplayOptions
    from lisa_ros.replay.example import example
    from lisa_ros.scannet.truth import BOUNDARY, WIDEST_BOUNDARY

    words = {argument.name: values.get(argument.name) or argument.default for argument in ARGUMENTS}
    out = Path(words["out"])
    names = [name for name in ("grounding_dino", "sam") if words[name]]
    if len(names) == 1:
        raise ConfigurationError(f"only {names[0]} is given; Grounded-SAM needs grounding_dino and sam")
    timeout = _number("timeout", words["timeout"], _TIMEOUT, float)
    boundary = _number("boundary", words["boundary"], BOUNDARY, int)
    if boundary > WIDEST_BOUNDARY:
        raise ConfigurationError(f"boundary={boundary} must be within 0..{WIDEST_BOUNDARY} px")
    if words["bag"]:
        path = {name: Path(words[name]) if words[name] else None for name in ("queries", "scan", "labels")}
        rule = words["depth_registration"] or REFUSE
        paths = ScanPaths(
            Path(words["bag"]), boundary=boundary, topics=RgbdTopics.named(words), depth_registration=rule, **path
        )
    else:
        for name in ("queries", "scan", "labels", "boundary", "depth_registration", *TOPIC_WORDS):
            if words[name]:
                raise ConfigurationError(f"{name}={words[name]} without a bag; name the bag that it belongs to")
        paths = example(out)
    extra = {}
    if names:
        from lisa_ros.evaluation.scans.grounded_sam import GroundedSam

        extra["Grounded-SAM"] = lambda _: GroundedSam(words["grounding_dino"], words["sam"], words["device"] or "auto")
    node = {name: words[name] for name in _NODE}
    return ReplayOptions(paths, out, node, timeout, extra_baselines=extra)


def _number(name: str, word: str, default, kind):
    if not word:
        return default
    try:
        number = kind(word)
    except ValueError:
        number = -1
    if not 0 <= number < 1e6 or (name == "timeout" and number == 0):
        raise ConfigurationError(f"{name}={word} must be a number of at least 0")
    return number
