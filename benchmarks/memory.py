"""Memory of the perception node and of its cloud process: when the model is loaded, and after queries with clouds.

    python benchmarks/memory.py
    python benchmarks/memory.py --queries 20 --json memory.json

Starts the graph with the simulated camera in a ROS domain of its own. `rss`: pages in memory; `private`: those that no
other process has and the kernel cannot read again from a file, which is what a robot's computer has to have;
`file`: pages of libraries and weights, which several processes share and the kernel drops where memory is short.
"""

import argparse
import json
import os
import re
import tempfile
from collections import Counter
from pathlib import Path

from lisa_ros import graph
from lisa_ros.client.graph_client import ACTION, GraphClient
from lisa_ros.launcher import RunningGraph
from lisa_ros.private_graph import Log, check_running, isolate, signals_as_interrupt

TIMEOUT = 300.0  # s
QUESTIONS = ("Where is the mug?", "Where is the banana?", "hand me something to cut the bread with")
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+\s*(.*)$")
_MODULES = {"node": b"lisa_ros.nodes.perception", "clouds": b"lisa_ros.nodes.perception.clouds.cloud_process"}


def memory(process: int) -> dict:
    """MiB of a process, and its largest mappings."""
    resident, private = Counter(), Counter()
    name = ""
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        if mapping := _MAPPING.match(line):
            name = Path(mapping[1]).name or "anonymous"
        elif line.startswith(("Rss:", "Anonymous:")):
            (resident if line.startswith("Rss:") else private)[name] += int(line.split()[1])
    figures = {"rss": sum(resident.values()), "private": sum(private.values())}
    figures["file"] = figures["rss"] - figures["private"]
    rows = {name: round(size / 1024) for name, size in figures.items()}
    return {**rows, "largest": {name: round(size / 1024) for name, size in resident.most_common(12)}}


def processes() -> dict[str, int]:
    """The ids of the node and of its cloud process, among the children of this program."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        for name, module in _MODULES.items():
            if module in words and _is_ours(folder):
                found[name] = int(folder.name)
    return found


def _is_ours(folder: Path) -> bool:
    own = str(os.getpid())
    while folder.name not in ("0", "1"):
        if folder.name == own:
            return True
        folder = folder.parent / (folder / "stat").read_text().rpartition(")")[2].split()[1]
    return False


def measure(queries: int) -> dict:
    """state -> process -> figures."""
    rows = {}
    perception, camera = graph.processes({"camera": "simulator"})
    camera = type(camera)(**{**vars(camera), "parameters": {"width": 640, "height": 480, "rate": 15.0}})
    with tempfile.TemporaryDirectory() as folder, signals_as_interrupt():
        isolate()
        log, running = Log(Path(folder) / "log.txt"), []
        with RunningGraph([perception, camera], log.write) as started:
            running.append(started)
            with GraphClient(perception.namespace, lambda: check_running(running, log)) as client:
                client.activate(TIMEOUT)
                for count in (0, 1, queries):
                    for number in range(count):
                        client.ask(QUESTIONS[number % len(QUESTIONS)], ACTION, TIMEOUT)
                    found = processes()
                    rows[f"after {count} queries"] = {name: memory(found[name]) for name in sorted(found)}
        log.close()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10, metavar="N", help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    args = parser.parse_args()
    rows = measure(args.queries)
    print(f"{'MiB':<20}{'process':<10}{'rss':>8}{'private':>9}{'file':>8}")
    for state, row in rows.items():
        for name, figures in row.items():
            print(f"{state:<20}{name:<10}{figures['rss']:>8}{figures['private']:>9}{figures['file']:>8}")
    for name, figures in row.items():
        print(f"\nlargest of {name}: " + ", ".join(f"{what} {size}" for what, size in figures["largest"].items()))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
