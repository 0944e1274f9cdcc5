"""`lisa-ros rerun`: a recording for the Rerun viewer, of a bag or of a running graph."""

import argparse
import importlib.util
import math
import os
from pathlib import Path

from lisa_ros import graph
from lisa_ros.commands.common import output_directory, printable
from lisa_ros.errors import ConfigurationError
from lisa_ros.middleware import check_middleware

_LIVE = "live"
_SHOWN = 3  # reasons that are named


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros rerun`."""
    parser.add_argument("source", metavar="BAG|live", help="a bag (folder, .mcap or .db3), or the graph that runs now")
    parser.add_argument("--namespace", default="lisa", metavar="N", help="of the node (default: %(default)s)")
    for role in ("image", "depth", "camera_info"):
        parser.add_argument(
            f"--{role.replace('_', '-')}-topic", default="", metavar="TOPIC", help=f"default: {role} in the namespace"
        )
    parser.add_argument(
        "--out", type=Path, metavar="FILE",
        help="recording to write (default: out/rerun/SOURCE.rrd; none with --connect)",
    )  # fmt: skip
    parser.add_argument(
        "--connect", nargs="?", const="rerun+http://127.0.0.1:9876/proxy", metavar="URL",
        help="send to a running viewer (default: %(const)s)",
    )  # fmt: skip
    parser.add_argument("--seconds", type=_seconds, metavar="S", help="live: end after this time (default: at Ctrl-C)")
    parser.add_argument(
        "--scene", action="store_true", help="live: with scene_points, which the node then computes for every query"
    )


def run(args: argparse.Namespace) -> int:
    """Records. Exit status 1 where nothing came that could be shown."""
    if importlib.util.find_spec("rerun") is None:
        raise ConfigurationError("the Rerun SDK is not installed: pip install -r requirements/rerun.txt")
    is_live = args.source == _LIVE
    if not is_live and (args.scene or args.seconds):
        raise ConfigurationError("--scene and --seconds are for live; a bag is read to its end with all that it holds")
    check_middleware()
    os.environ.update(graph.environment())  # before the middleware is loaded: large images need its shared memory
    from lisa_ros.private_graph import signals_as_interrupt
    from lisa_ros.viewers.message_sources import follow_graph, installed, read_bag
    from lisa_ros.viewers.rerun_log import RerunLog
    from lisa_ros.viewers.streams import viewed_streams

    streams = viewed_streams(
        args.namespace, args.image_topic, args.depth_topic, args.camera_info_topic,
        with_scene=args.scene or not is_live,
    )  # fmt: skip
    path = args.out
    if path is None and not args.connect:
        path = Path("out/rerun") / f"{Path(args.source).resolve().stem if not is_live else _LIVE}.rrd"
    if path is not None:
        output_directory(path.parent)
    log = RerunLog(path, args.connect)
    try:
        if is_live:
            streams, missing = installed(streams)
            for stream in missing:
                print(f"{stream.topic} is left out: {stream.type.partition('/')[0]} is not installed")
            print(f"recording {', '.join(stream.topic for stream in streams)}; Ctrl-C ends it", flush=True)
            with signals_as_interrupt():
                _until_interrupt(lambda: follow_graph(streams, log.add, args.seconds))
        else:
            read_bag(Path(args.source), streams, log.add)
    finally:
        log.close()
    return _report(log, path, args.connect)


def _until_interrupt(call) -> None:
    try:
        call()
    except KeyboardInterrupt:
        return  # the way to end a recording


def _report(log, path: Path | None, url: str | None) -> int:
    for reason, count in log.failures.most_common(_SHOWN):
        print(f"{count} messages could not be shown: {printable(reason)}")
    shown = ", ".join(f"{count} of {role}" for role, count in sorted(log.counts.items()))
    print(f"{shown or 'no messages'} at {path or url}" + (f"; rerun {path} opens it" if path else ""))
    return 0 if log.counts else 1


def _seconds(word: str) -> float:
    seconds = float(word)
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{word} is not a number of seconds above 0")
    return seconds
