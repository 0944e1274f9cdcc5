"""Every parameter of the perception node: default, meaning and limits, once.

No rclpy; `parameter_listener.py` declares them to ROS, `parameter_file.py` writes them to config/perception.yaml.
"""

import importlib.util
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lisa_ros.cpu_threads import MOST as MOST_THREADS
from lisa_ros.errors import ConfigurationError
from lisa_ros.geometry import CloudOptions
from lisa_ros.named_values import named_values
from lisa_ros.sensor_messages.depth_registration import REFUSE, RULES
from lisa_ros.tracking import FLOW, TRACKERS

CLOUD_PREFIX = "cloud."
_POSE = "x y z qx qy qz qw"


def _parameter(default, about: str, *, low=None, high=None, choices=None, fixed=False, at_configure=False):
    """fixed: set at start only. at_configure: takes effect when weights are loaded; can change while unconfigured."""
    facts = {"about": about, "low": low, "high": high, "choices": choices, "fixed": fixed, "at_configure": at_configure}
    return field(default=default, metadata=facts)


@dataclass(frozen=True)
class PerceptionParameters:
    """The values at one moment; a query keeps those of its arrival. docs/node.md explains each.

    Raises:
        ConfigurationError: A value is out of its limits, or contradicts another.
    """

    model: str = _parameter(
        "tabletop",
        "Checkpoint: directory in LISA's published layout, hub id, or the name of a packaged model",
        at_configure=True,
    )
    vision_tower: str = _parameter(
        "", "CLIP tower: directory or hub id; empty: the one that the checkpoint names", at_configure=True
    )
    precision: str = _parameter(
        "fp32",
        "Precision of the weights; fp32, bf16, fp16: of all but mask decoder and text projection, which stay in fp32; "
        "int8, int4, nf4: of the language model's linear layers",
        choices=("fp32", "bf16", "fp16", "int8", "int4", "nf4"),
        at_configure=True,
    )
    device: str = _parameter("auto", "Where the model runs: auto, cpu, cuda or cuda:N", at_configure=True)
    conv_type: str = _parameter(
        "", "Conversation template; empty: the one that belongs to the checkpoint", at_configure=True
    )
    style: str = _parameter(
        "",
        "How prompts and answers are worded: lisa, gsva, sesame, cores, instances, llmseg, elisa, elisa_paper; "
        "empty: as the files tell",
        at_configure=True,
    )
    base: str = _parameter(
        "",
        "LLaVA that a training began with: of un-merged weights (DeepSpeed's directory of an LLM-Seg), and of an ELISA "
        "where it is not at the place that its files name",
        at_configure=True,
    )
    sam_checkpoint: str = _parameter(
        "",
        "File of Segment Anything, for an ELISA and for un-merged weights without it; empty: where their files say",
        at_configure=True,
    )
    dinov2: str = _parameter("", "File of DINOv2's weights, for an LLM-Seg without them", at_configure=True)
    alphaclip: str = _parameter(
        "", "File of AlphaCLIP's weights, for an ELISA; empty: where its files say", at_configure=True
    )
    proposal_head: str = _parameter(
        "",
        "LLM-Seg: how proposals are chosen, and sizes that no file tells, as rule=similarity,threshold=0.4",
        at_configure=True,
    )
    proposal_options: str = _parameter(
        "",
        "LLM-Seg and ELISA: how proposals are made, in place of the system's own settings, as "
        "points_per_side=16,limit=20",
        at_configure=True,
    )
    threads: int = _parameter(
        0,
        "Threads of the CPU for one operation of the model; 0: torch's own choice, one for each core or "
        'OMP_NUM_THREADS. See "On a busy computer"',
        low=0,
        high=MOST_THREADS,
        at_configure=True,
    )
    compile: str = _parameter(
        "auto",
        "Whether the language model's step is compiled while it is loaded, which makes answers faster; auto: on a GPU, "
        "but for int8 and nf4; never on a CPU, where it gains little",
        choices=("auto", "always", "never"),
        at_configure=True,
    )
    autostart: bool = _parameter(True, "Configure and activate at start, without a lifecycle manager", fixed=True)

    image_transport: str = _parameter(
        "raw",
        "How images arrive; compressed: from the topic image/compressed",
        choices=("raw", "compressed"),
        fixed=True,
    )
    depth_transport: str = _parameter(
        "raw",
        "How depth arrives; compressedDepth: from the topic depth/compressedDepth",
        choices=("raw", "compressedDepth"),
        fixed=True,
    )
    image_bits: int = _parameter(
        0,
        "Bits per channel that the sensor fills in images of 16 bits; 0: by the largest value of each image, as "
        "8, 10, 12, 14 or 16",
        low=0,
        high=16,
    )
    buffer_size: int = _parameter(
        30, "Images (and depth images) kept, for queries about a given stamp", low=2, high=1000, fixed=True
    )
    sync_tolerance: float = _parameter(
        0.02, "Largest difference of stamps, in s, at which depth belongs to an image", low=0.0, high=1.0
    )
    max_image_age: float = _parameter(
        2.0,
        "Images older than this, in s, by stamp or by arrival, are not used; 0: no limit",
        low=0.0,
        high=3600.0,
    )
    image_timeout: float = _parameter(
        2.0,
        "Time, in s, that a query waits for an image before it ends as NO_IMAGE",
        low=0.0,
        high=60.0,
    )

    depth_registration: str = _parameter(
        REFUSE,
        "What happens to depth of another frame or lens than the image's; refuse: no clouds; register: it is "
        "reprojected into the image's view, with depth_camera_info and depth_pose or TF; trust: it is used as it "
        "is, whatever depth and camera_info say about their frames",
        choices=RULES,
    )
    depth_pose: tuple[float, ...] = _parameter(
        (),
        "For depth_registration register: pose of the depth camera's optical frame in the image's, in place of TF: "
        "x y z (m) qx qy qz qw; empty: TF between their frames",
    )

    target_frame: str = _parameter("", "Frame of clouds and boxes; empty: the camera's optical frame")
    camera_pose: tuple[float, ...] = _parameter(
        (),
        "Fixed pose of the camera's optical frame in target_frame, in place of TF: x y z (m) qx qy qz qw; empty: TF. "
        "Without a target_frame it has no effect",
    )

    up: tuple[float, ...] = _parameter(
        (),
        "Direction against gravity in the image's optical frame, x y z of any length: what stands on a plane stands "
        "upright on it; empty: the z axis of target_frame, unless that is an optical frame too, else unknown",
    )

    mode: str = _parameter(
        "chat",
        "chat: an answer in text with masks; mask: one mask in a single pass, without text",
        choices=("chat", "mask"),
    )
    max_new_tokens: int = _parameter(512, "Longest answer, in tokens", low=1, high=4096)
    model_timeout: float = _parameter(
        120.0,
        "Time, in s, without progress of the model (a stage, a word, a mask) after which its query and those "
        "that wait end as MODEL_ERROR; 0: no limit",
        low=0.0,
        high=3600.0,
    )
    cloud_timeout: float = _parameter(
        30.0,
        "Time, in s, for the clouds of one query; after it the cloud process is replaced, and the query ends as "
        "NO_DEPTH",
        low=1.0,
        high=3600.0,
    )
    load_timeout: float = _parameter(
        900.0,
        "Time, in s, for loading (a download included), after which `configure` fails; 0: no limit",
        low=0.0,
        high=86400.0,
    )
    max_query_length: int = _parameter(
        2000, "Longest query, in characters; the model takes no more than 2000", low=1, high=2000
    )
    queue_size: int = _parameter(8, "Action goals that may wait; further ones are rejected", low=0, high=1000)
    max_conversations: int = _parameter(
        4,
        "Conversations kept; beyond that the least recently used one is dropped",
        low=1,
        high=100,
    )
    standing_query: str = _parameter("", "Asked about every newest image while nothing else is asked; empty: none")
    follow: bool = _parameter(
        False,
        "Whether the standing query's targets are followed from image to image, with an id each, and the model is "
        "asked again every follow_interval; a goal sets it itself",
    )
    follow_interval: float = _parameter(
        1.0,
        "Time, in s of the images' stamps, from one answer of the model to the next while targets are followed; a "
        "quarter of it where the tracker is not sure",
        low=0.01,
        high=3600.0,
    )
    follow_tracker: str = _parameter(
        FLOW,
        "What moves the masks of followed targets; flow: dense optical flow, without weights; edgetam, sam3_tracker: "
        "video models of transformers, with the weights in follow_model",
        choices=TRACKERS,
        at_configure=True,
    )
    follow_model: str = _parameter(
        "", "Folder of the weights of follow_tracker; empty for flow, which has none", at_configure=True
    )
    with_cloud: bool = _parameter(
        True,
        "Whether queries from the topic and the standing query get clouds and boxes; a goal sets it itself",
    )
    planning_scene: bool = _parameter(
        False,
        "Whether boxes and support are published as a diff of MoveIt's planning scene; needs the package moveit_msgs",
    )
    cloud: CloudOptions = field(default_factory=CloudOptions)

    def __post_init__(self):
        for item in fields(self):
            if item.metadata:
                _check_value(item.name, getattr(self, item.name), item.metadata)
        if not self.model:
            raise ConfigurationError("model is empty; give a directory, a hub id or the name of a packaged model")
        if len(self.standing_query) > self.max_query_length:
            raise ConfigurationError(
                f"standing_query has {len(self.standing_query)} characters, max_query_length is {self.max_query_length}"
            )
        for name in ("proposal_head", "proposal_options"):
            named_values(getattr(self, name), name)
        for name in ("camera_pose", "depth_pose"):
            if pose := getattr(self, name):
                _check_pose(name, pose)
        if self.up:
            _check_direction(self.up)
        if self.planning_scene and importlib.util.find_spec("moveit_msgs") is None:
            raise ConfigurationError(
                "planning_scene is true, but the package moveit_msgs is not installed: install ros-DISTRO-moveit-msgs"
            )

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "PerceptionParameters":
        """From parameter names (`cloud.` before those of CloudOptions) and values."""
        cloud = {
            name.removeprefix(CLOUD_PREFIX): value for name, value in values.items() if name.startswith(CLOUD_PREFIX)
        }
        plain = {name: value for name, value in values.items() if not name.startswith(CLOUD_PREFIX)}
        for name, content in (("camera_pose", _POSE), ("depth_pose", _POSE), ("up", "x y z")):
            array = plain.get(name, ())
            if not isinstance(array, Iterable) or isinstance(array, str):
                raise ConfigurationError(f"{name}={array!r} must be an array: empty, or {content}")
            plain[name] = tuple(array)
        return cls(**plain, cloud=CloudOptions(**cloud))


@dataclass(frozen=True)
class ParameterDefinition:
    """One parameter, as it is declared; limits are None where there are none."""

    name: str
    default: Any
    about: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] | None = None
    fixed: bool = False
    at_configure: bool = False


def parameter_definitions() -> list[ParameterDefinition]:
    """The parameters in the order of `PerceptionParameters`, then those of CloudOptions."""
    own = [(item, item.name) for item in fields(PerceptionParameters) if item.metadata]
    own += [(item, CLOUD_PREFIX + item.name) for item in fields(CloudOptions)]
    return [ParameterDefinition(name, item.default, **item.metadata) for item, name in own]


def _check_value(name: str, value, facts: Mapping[str, Any]):
    if facts["choices"] and value not in facts["choices"]:
        raise ConfigurationError(f"{name}={value!r} is not one of {', '.join(facts['choices'])}")
    if facts["low"] is not None and not (math.isfinite(value) and facts["low"] <= value <= facts["high"]):
        raise ConfigurationError(f"{name}={value} must lie between {facts['low']} and {facts['high']}")


def _check_pose(name: str, pose: tuple[float, ...]):
    if len(pose) != 7 or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in pose):
        raise ConfigurationError(f"{name}={list(pose)} must be seven finite numbers: {_POSE}")
    norm = math.hypot(*pose[3:])
    if abs(norm - 1) > 1e-3:
        raise ConfigurationError(f"{name}'s quaternion has length {norm:.4f}; it must be 1")


def _check_direction(direction: tuple[float, ...]):
    if len(direction) != 3 or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in direction):
        raise ConfigurationError(f"up={list(direction)} must be three finite numbers: x y z")
    if math.hypot(*direction) < 1e-6:
        raise ConfigurationError(f"up={list(direction)} has no direction: it must not be zero")
