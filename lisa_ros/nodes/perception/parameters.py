"""Every parameter of the perception node: default, meaning and limits, once.

No rclpy; `parameter_listener.py` declares them to ROS, `parameter_file.py` writes them to config/perception.yaml.
"""

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lisa_ros.cpu_threads import MOST as MOST_THREADS
from lisa_ros.errors import ConfigurationError
from lisa_ros.geometry import CloudOptions, MaskOptions
from lisa_ros.named_values import named_values
from lisa_ros.nodes.perception.parameter_fields import POSE, check_direction, check_pose, check_value, parameter
from lisa_ros.sensor_messages.depth_registration import REFUSE, RULES
from lisa_ros.tracking import FLOW, TRACKERS

CLOUD_PREFIX = "cloud."
_GROUPS = {"mask": MaskOptions, "cloud": CloudOptions}  # parameters GROUP.NAME


@dataclass(frozen=True)
class PerceptionParameters:
    """The values at one moment; a query keeps those of its arrival. docs/node.md explains each.

    Raises:
        ConfigurationError: A value is out of its limits, or contradicts another.
    """

    model: str = parameter(
        "tabletop",
        "Checkpoint: directory in LISA's published layout, hub id, or the name of a packaged model",
        at_configure=True,
    )
    vision_tower: str = parameter(
        "", "CLIP tower: directory or hub id; empty: the one that the checkpoint names", at_configure=True
    )
    precision: str = parameter(
        "fp32",
        "Precision of the weights; fp32, bf16, fp16: of all but mask decoder and text projection, which stay in fp32; "
        "int8, int4, nf4: of the language model's linear layers",
        choices=("fp32", "bf16", "fp16", "int8", "int4", "nf4"),
        at_configure=True,
    )
    device: str = parameter("auto", "Where the model runs: auto, cpu, cuda or cuda:N", at_configure=True)
    conv_type: str = parameter(
        "", "Conversation template; empty: the one that belongs to the checkpoint", at_configure=True
    )
    style: str = parameter(
        "",
        "How prompts and answers are worded: lisa, gsva, sesame, cores, instances, llmseg, elisa, elisa_paper; "
        "empty: as the files tell",
        at_configure=True,
    )
    base: str = parameter(
        "",
        "LLaVA that a training began with: of un-merged weights (DeepSpeed's directory of an LLM-Seg), and of an ELISA "
        "where it is not at the place that its files name",
        at_configure=True,
    )
    sam_checkpoint: str = parameter(
        "",
        "File of Segment Anything, for an ELISA and for un-merged weights without it; empty: where their files say",
        at_configure=True,
    )
    dinov2: str = parameter("", "File of DINOv2's weights, for an LLM-Seg without them", at_configure=True)
    alphaclip: str = parameter(
        "", "File of AlphaCLIP's weights, for an ELISA; empty: where its files say", at_configure=True
    )
    proposal_head: str = parameter(
        "",
        "LLM-Seg: how proposals are chosen, and sizes that no file tells, as rule=similarity,threshold=0.4",
        at_configure=True,
    )
    proposal_options: str = parameter(
        "",
        "LLM-Seg and ELISA: how proposals are made, in place of the system's own settings, as "
        "points_per_side=16,limit=20",
        at_configure=True,
    )
    quality_calibration: str = parameter(
        "", "Calibration of the targets' quality; empty: quality_calibration.json beside the weights", at_configure=True
    )
    threads: int = parameter(
        0,
        "Threads of the CPU for one operation of the model; 0: torch's own choice, one for each core or "
        'OMP_NUM_THREADS. See "On a busy computer"',
        low=0,
        high=MOST_THREADS,
        at_configure=True,
    )
    compile: str = parameter(
        "auto",
        "Whether the language model's step is compiled while it is loaded, which makes answers faster; auto: on a GPU, "
        "but for int8 and nf4; never on a CPU, where it gains little",
        choices=("auto", "always", "never"),
        at_configure=True,
    )
    autostart: bool = parameter(True, "Configure and activate at start, without a lifecycle manager", fixed=True)

    image_transport: str = parameter(
        "raw",
        "How images arrive; compressed: from the topic image/compressed",
        choices=("raw", "compressed"),
        fixed=True,
    )
    depth_transport: str = parameter(
        "raw",
        "How depth arrives; compressedDepth: from the topic depth/compressedDepth",
        choices=("raw", "compressedDepth"),
        fixed=True,
    )
    image_bits: int = parameter(
        0,
        "Bits per channel that the sensor fills in images of 16 bits; 0: by the largest value of each image, as "
        "8, 10, 12, 14 or 16",
        low=0,
        high=16,
    )
    buffer_size: int = parameter(
        30, "Images (and depth images) kept, for queries about a given stamp", low=2, high=1000, fixed=True
    )
    sync_tolerance: float = parameter(
        0.02, "Largest difference of stamps, in s, at which depth belongs to an image", low=0.0, high=1.0
    )
    max_image_age: float = parameter(
        2.0,
        "Images older than this, in s, by stamp or by arrival, are not used; 0: no limit",
        low=0.0,
        high=3600.0,
    )
    image_timeout: float = parameter(
        2.0,
        "Time, in s, that a query waits for an image before it ends as NO_IMAGE",
        low=0.0,
        high=60.0,
    )

    depth_registration: str = parameter(
        REFUSE,
        "What happens to depth of another frame or lens than the image's; refuse: no clouds; register: it is "
        "reprojected into the image's view, with depth_camera_info and depth_pose or TF; trust: it is used as it "
        "is, whatever depth and camera_info say about their frames",
        choices=RULES,
    )
    depth_pose: tuple[float, ...] = parameter(
        (),
        "For depth_registration register: pose of the depth camera's optical frame in the image's, in place of TF: "
        "x y z (m) qx qy qz qw; empty: TF between their frames",
    )

    target_frame: str = parameter("", "Frame of clouds and boxes; empty: the camera's optical frame")
    camera_pose: tuple[float, ...] = parameter(
        (),
        "Fixed pose of the camera's optical frame in target_frame, in place of TF: x y z (m) qx qy qz qw; empty: TF. "
        "Without a target_frame it has no effect",
    )
    up: tuple[float, ...] = parameter(
        (),
        "Direction against gravity in the image's optical frame, x y z of any length: what stands on a plane stands "
        "upright on it; empty: the z axis of target_frame, unless that is an optical frame too, else unknown",
    )
    mode: str = parameter(
        "chat",
        "chat: an answer in text with masks; mask: one mask in a single pass, without text",
        choices=("chat", "mask"),
    )
    max_new_tokens: int = parameter(512, "Longest answer, in tokens", low=1, high=4096)
    model_timeout: float = parameter(
        120.0,
        "Time, in s, without progress of the model (a stage, a word, a mask) after which its query and those "
        "that wait end as MODEL_ERROR; 0: no limit",
        low=0.0,
        high=3600.0,
    )
    cloud_timeout: float = parameter(
        30.0,
        "Time, in s, for the clouds of one query; after it the cloud process is replaced, and the query ends as "
        "NO_DEPTH",
        low=1.0,
        high=3600.0,
    )
    load_timeout: float = parameter(
        900.0,
        "Time, in s, for loading (a download included), after which `configure` fails; 0: no limit",
        low=0.0,
        high=86400.0,
    )
    max_query_length: int = parameter(
        2000, "Longest query, in characters; the model takes no more than 2000", low=1, high=2000
    )
    queue_size: int = parameter(8, "Action goals that may wait; further ones are rejected", low=0, high=1000)
    max_conversations: int = parameter(
        4,
        "Conversations kept; beyond that the least recently used one is dropped",
        low=1,
        high=100,
    )
    standing_query: str = parameter("", "Asked about every newest image while nothing else is asked; empty: none")
    follow: bool = parameter(
        False,
        "Whether the standing query's targets are followed from image to image, with an id each, and the model is "
        "asked again every follow_interval; a goal sets it itself",
    )
    follow_interval: float = parameter(
        1.0,
        "Time, in s of the images' stamps, from one answer of the model to the next while targets are followed; a "
        "quarter of it where the tracker is not sure",
        low=0.01,
        high=3600.0,
    )
    follow_tracker: str = parameter(
        FLOW,
        "What moves the masks of followed targets; flow: dense optical flow, without weights; edgetam, sam3_tracker: "
        "video models of transformers, with the weights in follow_model",
        choices=TRACKERS,
        at_configure=True,
    )
    follow_model: str = parameter(
        "", "Folder of the weights of follow_tracker; empty for flow, which has none", at_configure=True
    )
    with_cloud: bool = parameter(
        True,
        "Whether queries from the topic and the standing query get clouds and boxes; a goal sets it itself",
    )
    planning_scene: bool = parameter(
        False,
        "Whether boxes and support are published as a diff of MoveIt's planning scene; needs the package moveit_msgs",
    )
    mask: MaskOptions = field(default_factory=MaskOptions)
    cloud: CloudOptions = field(default_factory=CloudOptions)

    def __post_init__(self):
        for item in fields(self):
            if item.metadata:
                check_value(item.name, getattr(self, item.name), item.metadata)
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
                check_pose(name, pose)
        if self.up:
            check_direction(self.up)
        if self.planning_scene and importlib.util.find_spec("moveit_msgs") is None:
            raise ConfigurationError(
                "planning_scene is true, but the package moveit_msgs is not installed: install ros-DISTRO-moveit-msgs"
            )

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "PerceptionParameters":
        """From parameter names (`cloud.` before those of CloudOptions, `mask.` of MaskOptions) and values."""
        plain = {name: value for name, value in values.items() if "." not in name}
        for group, options in _GROUPS.items():
            own = {name: value for name, value in values.items() if name.startswith(f"{group}.")}
            plain[group] = options(**{name.removeprefix(f"{group}."): value for name, value in own.items()})
        for name, content in (("camera_pose", POSE), ("depth_pose", POSE), ("up", "x y z")):
            array = plain.get(name, ())
            if not isinstance(array, Iterable) or isinstance(array, str):
                raise ConfigurationError(f"{name}={array!r} must be an array: empty, or {content}")
            plain[name] = tuple(array)
        return cls(**plain)


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
    """The parameters in the order of `PerceptionParameters`, then those of MaskOptions and CloudOptions."""
    own = [(item, item.name) for item in fields(PerceptionParameters) if item.metadata]
    own += [(item, f"{group}.{item.name}") for group, options in _GROUPS.items() for item in fields(options)]
    return [ParameterDefinition(name, item.default, **item.metadata) for item, name in own]
