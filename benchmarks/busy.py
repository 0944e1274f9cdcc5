"""Time of a query beside busy processes, as on a robot's computer: torch's active waiting, passive waiting, one thread.

    python benchmarks/busy.py                # as many busy processes as cores
    python benchmarks/busy.py --busy 4 --repeats 15 --json busy.json

Each way of waiting has a process of its own with the packaged model on the CPU; they are asked in turn, once on the
machine as it is and once with the busy processes running, so that what else happens on it meets all of them alike.
A query is one image encoded and one question answered in words. The figures of `idle` mean something on a machine
that does nothing else: its load is printed.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from lisa_ros.cpu_threads import WAIT_POLICY

# name -> --threads of the model, whether torch is loaded before lisa_ros can ask for passive waiting
WAYS = {"active": (0, True), "passive": (0, False), "one thread": (1, False)}
QUESTION = "Where is the mug?"
SETTLING = 0.3  # s from the first cycle of the busy processes to the first query beside them


class Model:
    """A process that answers one query for each line that it is sent."""

    def __init__(self, way: str):
        own = (WAIT_POLICY, "OMP_NUM_THREADS")
        environment = {name: value for name, value in os.environ.items() if name not in own}
        self._child = subprocess.Popen([sys.executable, "-W", "ignore", __file__, "--serve", way], env=environment,
                                       text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip

    def __enter__(self) -> "Model":
        self.facts = json.loads(self._child.stdout.readline())
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.communicate()

    def query(self) -> dict[str, float]:
        """Seconds of one query by stage, and of CPU time."""
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return json.loads(self._child.stdout.readline())


class Busy:
    """Processes that do nothing but compute, between `run` and `rest`."""

    def __init__(self, count: int):
        self._children = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(count)]
        self.rest()

    def __enter__(self) -> "Busy":
        return self

    def __exit__(self, *_):
        for child in self._children:
            child.kill()
            child.wait()

    def run(self):
        self._send(signal.SIGCONT)
        time.sleep(SETTLING)

    def rest(self):
        self._send(signal.SIGSTOP)

    def _send(self, number: int):
        for child in self._children:
            child.send_signal(number)


def serve(way: str):
    """The child: loads the model, writes a line of facts, then one for each line that it reads."""
    threads, active = WAYS[way]
    if active:
        import torch
    from lisa_ros import Lisa
    from lisa_ros.simulator import generate_scene

    lisa = Lisa.from_pretrained("tabletop", device="cpu", threads=threads)
    image = generate_scene(3, 480, 640).image
    lisa.chat(lisa.encode(image), QUESTION)
    import torch

    print(json.dumps({"threads": torch.get_num_threads(), WAIT_POLICY: os.environ.get(WAIT_POLICY)}), flush=True)
    for _ in sys.stdin:
        burnt, started = time.process_time(), time.perf_counter()
        frame = lisa.encode(image)
        encoded = time.perf_counter()
        lisa.chat(frame, QUESTION)
        answered = time.perf_counter()
        seconds = {"encode": encoded - started, "answer": answered - encoded, "query": answered - started}
        print(json.dumps({**seconds, "cpu": time.process_time() - burnt}), flush=True)


def measure(busy: int, repeats: int) -> dict:
    """The figures: medians of seconds by way and load."""
    rows = {way: {"idle": [], "busy": []} for way in WAYS}
    load = os.getloadavg()[0]
    with ExitStack() as stack:
        models = {way: stack.enter_context(Model(way)) for way in WAYS}
        others = stack.enter_context(Busy(busy))
        for _ in range(repeats):
            for state, change in (("idle", others.rest), ("busy", others.run)):
                change()
                for way, model in models.items():
                    rows[way][state].append(model.query())
            others.rest()
        ways = {way: {**model.facts, **_figures(rows[way])} for way, model in models.items()}
    return {"cores": len(os.sched_getaffinity(0)), "busy": busy, "repeats": repeats, "load_before": load, "ways": ways}


def _figures(rows: dict[str, list[dict[str, float]]]) -> dict:
    figures = {
        state: {name: round(statistics.median(row[name] for row in some), 4) for name in some[0]}
        for state, some in rows.items()
    }
    for state, some in rows.items():
        figures[state]["query_min"] = round(min(row["query"] for row in some), 4)
    figures["ratio"] = round(figures["busy"]["query"] / figures["idle"]["query"], 2)
    return figures


def table(result: dict) -> str:
    """The figures for people to read."""
    lines = [
        f"{result['cores']} cores, load {result['load_before']:.1f} before, {result['busy']} busy processes; "
        f"medians of {result['repeats']}, in s",
        f"{'':<12}{'threads':>8}{'idle':>9}{'encode':>9}{'answer':>9}{'CPU':>9}{'busy':>9}{'CPU':>9}{'ratio':>8}",
    ]
    for way, row in result["ways"].items():
        idle, busy = row["idle"], row["busy"]
        numbers = (idle["query"], idle["encode"], idle["answer"], idle["cpu"], busy["query"], busy["cpu"])
        numbers = "".join(f"{number:>9.3f}" for number in numbers)
        lines.append(f"{way:<12}{row['threads']:>8}{numbers}{row['ratio']:>8.2f}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=len(os.sched_getaffinity(0)), metavar="N",
                        help="busy processes (default: as many as cores)")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="queries of each kind (default: 9)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--serve", choices=tuple(WAYS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve)
    result = measure(args.busy, args.repeats)
    print(table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
