"""CPU time that the node takes while a camera streams and nobody asks.

    python benchmarks/idle.py --seconds 60 --json FILE

The real node with the packaged model, and a camera of 30 Hz and 1280x720 (rgb8, 16UC1, camera_info) in a process of its
own. The figure is user and system time of the node's process by the kernel's count, as a share of one core; it hardly
depends on what else the machine does. Rate and losses are those of the node's diagnostics.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
# Before rclpy is imported: loopback, and a domain that no robot uses.
os.environ.setdefault("ROS_DOMAIN_ID", str(50 + os.getpid() % 50))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(HERE.parent / "config" / "fastdds.xml"))

import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402

NAMESPACE = "/idle"
_TICKS = os.sysconf("SC_CLK_TCK")
_START = 300.0  # s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it is watched (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=30.0, help="images per second (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    args = parser.parse_args()
    figures = measure(args.seconds, args.rate)
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def measure(seconds: float, rate: float) -> dict:
    """Share of one core in percent, with and without the camera, and what the node says about the stream."""
    nodes = [sys.executable, "-m", "lisa_ros.nodes.perception", "--ros-args", "-r", f"__ns:={NAMESPACE}"]
    camera = [sys.executable, HERE / "plain_camera.py", "--rate", str(rate), "--ros-args", "-r", f"__ns:={NAMESPACE}"]
    with tempfile.TemporaryDirectory() as folder, (log := Path(folder) / "log.txt").open("w") as out:
        node = subprocess.Popen(nodes, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        started = [node]
        try:
            end = time.monotonic() + _START
            while "active, subscribed" not in log.read_text():
                if node.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the node did not become active: {log.read_text()[-2000:]}")
                time.sleep(0.1)
            time.sleep(3)  # threads of the loading are gone
            without = share(node.pid, min(seconds, 20))
            started.append(subprocess.Popen(camera, start_new_session=True))
            before = diagnostics(images=round(5 * rate))
            busy = share(node.pid, seconds)
            after = diagnostics()
        finally:
            for one in reversed(started):
                one.send_signal(signal.SIGTERM)
                one.wait(30)
    received = {name: after[f"{name} received"] - before[f"{name} received"] for name in ("image", "depth", "info")}
    return {
        "seconds": seconds,
        "rate": rate,
        "CPU (% of one core)": round(busy, 1),
        "without a camera (%)": round(without, 1),
        "received": received,
        "missed": after["image missed"] - before["image missed"],
    }


def share(pid: int, seconds: float) -> float:
    """User and system time of a process and its threads, in percent of the wall time."""
    started, before = time.monotonic(), cpu_seconds(pid)
    time.sleep(seconds)
    return 100 * (cpu_seconds(pid) - before) / (time.monotonic() - started)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def diagnostics(images: int = 0) -> dict[str, int]:
    """Whole numbers of the node's next diagnostics; images: waits until it has received so many."""
    rclpy.init()
    ros = rclpy.create_node("watching", namespace=NAMESPACE)
    seen: list[dict[str, int]] = []

    def note(message: DiagnosticArray):
        for status in message.status:
            if status.name.startswith(f"{NAMESPACE}/"):
                seen.append({one.key: int(one.value) for one in status.values if one.value.isdigit()})

    ros.create_subscription(DiagnosticArray, "/diagnostics", note, 10)
    while not seen or seen[-1]["image received"] < images:
        rclpy.spin_once(ros, timeout_sec=1.0)
    ros.destroy_node()
    rclpy.shutdown()
    return seen[-1]


if __name__ == "__main__":
    sys.exit(main())
