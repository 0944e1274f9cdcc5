"""`lisa-ros scannet`: ScanNet's recordings to bags, and what is in them."""

import argparse
import json
from pathlib import Path

from lisa_ros.commands.common import output_directory
from lisa_ros.errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros scannet`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    convert = _action(actions, "convert", "write a .sens file as a rosbag2 bag")
    convert.add_argument("sens", type=Path, metavar="SCENE.sens", help="ScanNet's file, or a folder SCENE with it")
    convert.add_argument("--out", type=Path, required=True, metavar="BAG", help="folder to make; it must not exist")
    convert.add_argument(
        "--storage", default="mcap", choices=("mcap", "sqlite3"), help="format of the bag (default: %(default)s)"
    )
    info = _action(actions, "info", "say what a .sens file holds, and whether it is whole")
    info.add_argument("sens", type=Path, metavar="SCENE.sens", help="ScanNet's file, or a folder SCENE with it")
    queries = _action(actions, "queries", "write category and negative queries from a scan's annotation")
    queries.add_argument("sens", type=Path, metavar="SCENE.sens", help="ScanNet's file, or a folder SCENE with it")
    queries.add_argument("--out", type=Path, required=True, metavar="FILE", help="queries file (JSON lines) to write")
    queries.add_argument("--labels", type=Path, metavar="TSV", help="label table, if not beside or above the scan")
    queries.add_argument(
        "--negatives", type=int, default=4, metavar="N", help="queries for what is not there (default: %(default)s)"
    )
    queries.add_argument("--step", type=int, metavar="N", help="ask in every Nth frame (default: in every frame)")


def run(args: argparse.Namespace) -> int:
    """Runs the action. Returns the exit status."""
    return {"convert": _convert, "info": _info, "queries": _queries}[args.action](args)


def _action(actions, name: str, about: str) -> argparse.ArgumentParser:
    return actions.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")


def _convert(args) -> int:
    from lisa_ros.scannet.convert import convert
    from lisa_ros.scannet.scene_files import SceneFiles

    sens = SceneFiles.find(args.sens).sens
    output_directory(args.out.parent)
    manifest = convert(sens, args.out, args.storage, progress=True)
    poses = manifest["poses"]
    print(
        f"{args.out}: {manifest['written']} of {manifest['frames']} frames, {poses['written']} with a pose "
        f"({len(poses['lost'])} lost, {len(poses['implausible'])} implausible)"
    )
    for skipped in manifest["skipped"]:
        print(f"frame {skipped['frame']} left out: {skipped['reason']}")
    return 0


def _info(args) -> int:
    from lisa_ros.geometry.registration import displacement, is_registered
    from lisa_ros.scannet.convert import cameras
    from lisa_ros.scannet.scene_files import SceneFiles
    from lisa_ros.scannet.sens import SensReader

    with SensReader(SceneFiles.find(args.sens).sens) as reader:
        header = reader.header
        color, depth = cameras(header)
        lies = "True" if is_registered(color, depth) else "after registration"
        beside = f"{lies}, up to {displacement(color, depth):.1f} px beside it"
        lost = sum(bool(frame.pose_problem) for frame in reader)
        facts = {
            "sensor": header.sensor,
            "frames": len(reader),
            "frames without a good pose": lost,
            "IMU frames": reader.check(),
            "colour": "{}x{} {}".format(*header.color_size, header.color_compression),
            "depth": "{}x{} {}".format(*header.depth_size, header.depth_compression),
            "depth shift": header.depth_shift,
            "depth lies on colour": beside if header.is_aligned else False,
            "colour fx fy cx cy": json.dumps(header.color_intrinsic[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()),
            "depth fx fy cx cy": json.dumps(header.depth_intrinsic[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()),
        }
    for name, value in facts.items():
        print(f"{name + ':':<28}{value}")
    return 0


def _queries(args) -> int:
    from lisa_ros.progress import track
    from lisa_ros.scannet.annotations import Annotation
    from lisa_ros.scannet.scene_files import SceneFiles
    from lisa_ros.scannet.scene_queries import generate_queries, write_queries
    from lisa_ros.scannet.sens import SensReader
    from lisa_ros.scannet.truth import visible_objects

    if args.negatives < 0 or (args.step is not None and args.step < 1):
        raise ConfigurationError(f"--negatives {args.negatives} and --step {args.step} must be at least 0 and 1")
    files = SceneFiles.find(args.sens, args.labels)
    output_directory(args.out.parent)
    with SensReader(files.sens) as reader, Annotation(files) as annotation:
        frames = range(0, len(reader), args.step or 1)
        visible = visible_objects(annotation, track(frames, description=f"checking {files.scene}", unit="frame"))
        queries = generate_queries(annotation, args.negatives, frames if args.step else None, visible)
    write_queries(args.out, queries)
    print(f"{args.out}: {len(queries)} queries about {files.scene}")
    return 0
