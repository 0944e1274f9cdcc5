"""`lisa-ros info`: what is installed, on which device a model would run, and what of ROS is there."""

import argparse
import os
import platform
from importlib import metadata
from importlib.util import find_spec

from lisa_ros.commands.common import add_model_arguments, load_lisa
from lisa_ros.errors import ConfigurationError
from lisa_ros.graph import fastdds_variable
from lisa_ros.middleware import check_middleware

_LIBRARIES = ("torch", "transformers", "segment-anything", "open3d", "numpy", "opencv-python-headless", "bitsandbytes")
# module, what is lost without it
_ROS = (
    ("rclpy", "no nodes: `ask` and `eval` work, `up` and `demo` do not"),
    ("sensor_msgs", "no nodes"),
    ("lisa_ros.msg", "no nodes: the package's messages are not built, install it with pip or colcon"),
    ("tf2_ros", "clouds stay in the camera's frame, or use the parameters target_frame and camera_pose"),
    ("tf2_msgs", "the simulated camera publishes no TF"),
    ("cv_bridge", "images are converted by the package's own numpy code"),
    ("vision_msgs", "boxes go out as markers and poses only"),
    ("launch_ros", "no launch files: `lisa-ros up` starts the same graph"),
)


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros info`."""
    parser.epilog = "With --model M that model is loaded, to see that it works and how much memory it takes."
    add_model_arguments(parser, default=None)


def run(args: argparse.Namespace) -> int:
    """Prints the facts, one a line."""
    from lisa_ros.resources import share_directory, version

    _line("lisa_ros", f"{version()} in {share_directory()}")
    _line("python", f"{platform.python_version()} on {platform.platform()}")
    for name in _LIBRARIES:
        _line(name, _installed(name) or "missing" + (": no int8 and nf4" if name == "bitsandbytes" else ""))
    _devices()
    _ros()
    _model(args)
    return 0


def _line(name: str, value: str):
    print(f"{name:<24} {value}")


def _installed(distribution: str) -> str | None:
    # Debian and ROS name their OpenCV otherwise.
    names = (distribution, "opencv-python", "opencv") if distribution.startswith("opencv") else (distribution,)
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _devices():
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    _line("cpu", f"{os.cpu_count()} cores ({torch.get_num_threads()} for torch), {memory / 2**30:.1f} GiB memory")
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        _line(f"cuda:{index}", f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    if not torch.cuda.is_available():
        _line("cuda", "no device: models run on the CPU")


def _ros():
    distribution = os.environ.get("ROS_DISTRO")
    wheels = _installed("ros-rclpy")
    source = f"{distribution}, sourced" if distribution else f"wheels, rclpy {wheels}" if wheels else "not found"
    _line("ROS", source)
    for module, loss in _ROS:
        _line(f"  {module}", "there" if _has(module) else f"missing: {loss}")
    for name in ("RMW_IMPLEMENTATION", "ROS_DOMAIN_ID", fastdds_variable()):
        _line(f"  {name}", os.environ.get(name, "not set"))
    try:
        check_middleware()
    except ConfigurationError as error:
        _line("  middleware", str(error))


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _model(args: argparse.Namespace):
    from lisa_ros.model.checkpoint import packaged_names

    _line("packaged models", ", ".join(packaged_names()) or "none")
    if args.model is None:
        return
    lisa = load_lisa(args)
    memory = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in lisa.memory().items())
    _line("model", lisa.provenance)
    _line("  device", str(lisa.device))
    _line("  memory", memory)
