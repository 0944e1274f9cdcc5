"""Peak memory of converting, reading and playing recordings of different lengths: it must not depend on the length.

    python benchmarks/bag_memory.py --frames 1000 10000 --json benchmarks/bag_memory.json

Every measurement runs in a process of its own, whose peak (VmHWM) is its own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TOLERANCE = 0.05
WIDTH, HEIGHT = 320, 240


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[1000, 10000], metavar="N", help="lengths to compare")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--measure", nargs=3, metavar=("JOB", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(*args.measure)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for count in args.frames for row in rows_of(count, Path(folder))]
    spreads = {job: spread([row["peak_mb"] for row in rows if row["job"] == job]) for job in JOBS}
    for row in rows:
        print(f"{row['job']:<16}{row['frames']:>8} frames {row['peak_mb']:>8.1f} MB {row['seconds']:>8.1f} s")
    for job, share in spreads.items():
        print(f"{job:<16} differs by {share:.1%}")
    if args.json:
        args.json.write_text(json.dumps({"image": [WIDTH, HEIGHT], "rows": rows, "spread": spreads}, indent=1) + "\n")
    return int(max(spreads.values()) > TOLERANCE)


def spread(peaks: list[float]) -> float:
    """By what share the largest peak exceeds the smallest."""
    return max(peaks) / min(peaks) - 1


def rows_of(count: int, folder: Path) -> list[dict]:
    """Measures every job with a recording of `count` frames."""
    sens = folder / f"{count}.sens"
    write_sens(sens, count)
    rows = []
    for job, (source, target) in JOBS.items():
        command = [
            sys.executable,
            __file__,
            "--measure",
            job,
            folder / source.format(count),
            folder / target.format(count),
        ]
        done = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True)
        rows.append({"job": job, "frames": count} | json.loads(done.stdout.splitlines()[-1]))
    return rows


def write_sens(path: Path, count: int):
    """A recording of a few pictures over and over."""
    from lisa_ros.scannet.sens import SensHeader
    from lisa_ros.scannet.sens_writer import SensWriter

    k = np.diag([300.0, 300.0, 1.0, 1.0]).astype(np.float32)
    header = SensHeader(color_intrinsic=k, depth_intrinsic=k, color_size=(WIDTH, HEIGHT), depth_size=(WIDTH, HEIGHT))
    random = np.random.default_rng(0)
    smooth = np.linspace(0, 200, WIDTH)[None, :, None] + random.normal(0, 6, (10, HEIGHT, WIDTH, 3))
    pictures = np.clip(smooth, 0, 255).astype(np.uint8)
    depths = (1000 + random.integers(0, 8, (10, HEIGHT, WIDTH))).astype(np.uint16)
    with SensWriter(path, header) as writer:
        encoded = [(writer.encode_color(c), writer.encode_depth(d)) for c, d in zip(pictures, depths, strict=True)]
        for index in range(count):
            writer.add(*encoded[index % 10], np.eye(4))


def measure(job: str, source: str, target: str) -> dict:
    """Runs one job; peak memory in MB, and seconds."""
    started = time.perf_counter()
    RUN[job](Path(source), Path(target))
    seconds = time.perf_counter() - started
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"peak_mb": int(status["VmHWM"].split()[0]) / 1024, "seconds": round(seconds, 1)}


def convert_mcap(source: Path, target: Path):
    from lisa_ros.scannet.convert import convert

    convert(source, target)


def convert_sqlite3(source: Path, target: Path):
    from lisa_ros.scannet.convert import convert

    convert(source, target, "sqlite3")


def read(source: Path, target: Path):
    from lisa_ros.recordings.bag_reader import RgbdBag

    with RgbdBag(source) as bag:
        for frame in bag.frames():
            frame.color(), frame.depth()


def play(source: Path, target: Path):
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    import rclpy

    from lisa_ros.nodes.simulation.bag_player import BagPlayer
    from lisa_ros.recordings.bag_reader import RgbdBag

    rclpy.init(args=[])
    with RgbdBag(source) as bag:
        player = BagPlayer(rclpy.create_node("player"), bag)
        while player.step():
            pass
    rclpy.try_shutdown()


RUN = {"convert mcap": convert_mcap, "convert sqlite3": convert_sqlite3, "read mcap": read, "read sqlite3": read,
       "play mcap": play}  # fmt: skip
# job -> names of what it reads and writes, with the number of frames
JOBS = {
    "convert mcap": ("{}.sens", "{}-mcap"),
    "convert sqlite3": ("{}.sens", "{}-sqlite3"),
    "read mcap": ("{}-mcap", "-"),
    "read sqlite3": ("{}-sqlite3", "-"),
    "play mcap": ("{}-mcap", "-"),
}

if __name__ == "__main__":
    sys.exit(main())
