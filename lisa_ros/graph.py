"""The one description of the ROS graph: its processes, topics and launch arguments.

Plain data, without rclpy and launch: `launch/perception.launch.py` makes launch actions of it, `lisa-ros up` makes
processes of it on machines that have no `ros2 launch`. Nodes define the defaults of their parameters: an argument that
is left empty is not passed on.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from lisa_ros.errors import ConfigurationError
from lisa_ros.resources import find_config, share_directory


@dataclass(frozen=True)
class Argument:
    """One launch argument.

    Attributes:
        name: As in `name:=value`.
        about: Its description.
        default: The default text; empty: the parameter file or the node decides.
        kind: Type that its text is parsed as.
        parameter_of: Nodes that get it as a parameter of the same name.
    """

    name: str
    about: str
    default: str = ""
    kind: type = str
    parameter_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Process:
    """One node in a process of its own.

    Attributes:
        name: Name of the node.
        module: What `python -m` runs.
        executable: What `ros2 run lisa_ros` runs, the same code.
        namespace: As given; a relative one is appended to that of an including launch file.
        remappings: (name in the code, topic).
        parameter_files: In increasing order of priority.
        parameters: name -> value, of higher priority than parameter_files.
        log_level: debug, info, warn, error or fatal.
    """

    name: str
    module: str
    executable: str
    namespace: str
    remappings: tuple[tuple[str, str], ...] = ()
    parameter_files: tuple[Path, ...] = ()
    parameters: Mapping[str, str | bool | int] = field(default_factory=dict)
    log_level: str = "info"


PARENT = "LISA_ROS_PARENT"  # variable of a node's process: id of the program with which it ends

_MODULES = {
    "perception": "lisa_ros.nodes.perception",
    "camera": "lisa_ros.nodes.simulation.camera",
    "console": "lisa_ros.nodes.console",
}
_PERCEPTION = ("perception",)
_STREAMS = ("image", "depth", "camera_info", "depth_camera_info")
_TOPIC = "empty: the camera's, or else `{}` in the namespace"

ARGUMENTS = (
    Argument("namespace", "Namespace of all nodes and topics", default="lisa"),
    Argument("use_sim_time", "Take time from /clock (true, false)", kind=bool, parameter_of=("perception", "camera")),
    Argument(
        "params_file",
        "Node parameters: a YAML file, or the name of one in the package's config folder",
        default="perception",
    ),
    Argument("autostart", "Configure and activate at start (true, false)", kind=bool, parameter_of=_PERCEPTION),
    Argument("log_level", "debug, info, warn, error or fatal", default="info"),
    Argument("camera", "Topic set: realsense, zed, scannet, simulator (starts one), or a YAML file like those"),
    Argument("image_topic", f"Colour images; {_TOPIC.format('image')}"),
    Argument("depth_topic", f"Depth registered to the colour image; {_TOPIC.format('depth')}"),
    Argument("camera_info_topic", f"Calibration of the colour image; {_TOPIC.format('camera_info')}"),
    Argument(
        "depth_camera_info_topic",
        f"Calibration of the depth camera, for depth_registration register; {_TOPIC.format('depth_camera_info')}",
    ),
    Argument("image_transport", "raw or compressed", parameter_of=("perception", "console")),
    Argument("depth_transport", "raw or compressedDepth", parameter_of=_PERCEPTION),
    Argument(
        "depth_registration", "Depth of another frame or lens: refuse, register or trust", parameter_of=_PERCEPTION
    ),
    Argument("model", "Checkpoint: directory, hub id or packaged name", parameter_of=_PERCEPTION),
    Argument("vision_tower", "CLIP tower: directory or hub id", parameter_of=_PERCEPTION),
    Argument("precision", "fp32, bf16, fp16, int8, int4 or nf4", parameter_of=_PERCEPTION),
    Argument("device", "auto, cpu, cuda or cuda:N", parameter_of=_PERCEPTION),
    Argument(
        "threads",
        "Threads of the CPU for one operation of the model; 0: torch's own choice",
        kind=int,
        parameter_of=_PERCEPTION,
    ),
    Argument("compile", "The language model's step: auto, always or never", parameter_of=_PERCEPTION),
    Argument("target_frame", "Frame of clouds and boxes", parameter_of=_PERCEPTION),
    Argument("console", "Start the web console too (true, false)", default="false", kind=bool),
    Argument(
        "host",
        "Where the console serves its page; empty: 127.0.0.1, this computer alone. Any other needs a token",
        parameter_of=("console",),
    ),
    Argument("port", "Port of the console's page, 0: a free one; empty: 8080", kind=int, parameter_of=("console",)),
)
_BY_NAME = {argument.name: argument for argument in ARGUMENTS}


def processes(values: Mapping[str, str] | None = None, only: str = "") -> list[Process]:
    """The processes of the graph.

    values: texts of launch arguments by name; those that are missing have their default. only: name of the one process
    that is wanted.

    Raises ConfigurationError for an unknown argument, a value of the wrong kind and a configuration file that is not
    there.
    """
    values = _complete(values or {})
    camera = {**_camera_preset(values["camera"]), **{name: value for name, value in values.items() if value}}
    remappings = tuple((stream, topic) for stream in _STREAMS if (topic := camera.get(f"{stream}_topic")))
    files = (find_config(values["params_file"]),) if values["params_file"] else ()

    def process(name: str) -> Process:
        parameters = {
            argument.name: _parse(argument, camera[argument.name])
            for argument in ARGUMENTS
            if name in argument.parameter_of and camera.get(argument.name)
        }
        return Process(
            name,
            _MODULES[name],
            f"{name}_node",
            values["namespace"],
            remappings,
            files,
            parameters,
            values["log_level"],
        )

    if only:
        return [process(only)]
    names = [*_PERCEPTION, *(["camera"] if values["camera"] == "simulator" else [])]
    if _parse(_BY_NAME["console"], values["console"] or "false"):
        names.append("console")
    return [process(name) for name in names]


def environment() -> dict[str, str]:
    """Variables that every process should have, without those that are set already.

    Fast DDS moves large best-effort images only with more shared memory than it takes by default: config/fastdds.xml.
    """
    name = fastdds_variable()
    return {} if name in os.environ else {name: str(share_directory() / "config" / "fastdds.xml")}


def fastdds_variable() -> str:
    """Name of the variable in which this distribution's Fast DDS looks for a profile."""
    # Kilted warns of the old name, Jazzy and older know no other.
    old = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
    return "FASTRTPS_DEFAULT_PROFILES_FILE" if old else "FASTDDS_DEFAULT_PROFILES_FILE"


def _complete(values: Mapping[str, str]) -> dict[str, str]:
    for name in values:
        if name not in _BY_NAME:
            near = difflib.get_close_matches(name, _BY_NAME, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_BY_NAME)}"
            raise ConfigurationError(f"there is no launch argument {name!r}; {hint}")
    return {argument.name: values.get(argument.name, argument.default) for argument in ARGUMENTS}


def _camera_preset(camera: str) -> dict[str, str]:
    if not camera:
        return {}
    path = find_config(camera, "cameras")
    try:
        preset = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    allowed = {f"{stream}_topic" for stream in _STREAMS} | {"image_transport", "depth_transport"}
    if not (isinstance(preset, dict) and preset.keys() <= allowed and all(map(_is_text, preset.values()))):
        raise ConfigurationError(f"{path} must map some of {', '.join(sorted(allowed))} to words and nothing else")
    return preset


def _is_text(value) -> bool:
    return isinstance(value, str)


def _parse(argument: Argument, text: str) -> str | bool | int:
    try:
        return {bool: _parse_bool, int: int, str: str}[argument.kind](text)
    except (KeyError, ValueError):
        wanted = "true or false" if argument.kind is bool else "a whole number"
        raise ConfigurationError(f"{argument.name}:={text} must be {wanted}") from None


def _parse_bool(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]
