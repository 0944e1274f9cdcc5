"""Host memory while a checkpoint is loaded, in every number format, from shards of the same and of another type.

    python benchmarks/loading_memory.py --size small
    python benchmarks/loading_memory.py --size 7b --precision int4 nf4 bf16 --stored bf16 --shard-gb 4

Writes a random LISA in the published sharded layout to a temporary folder, and loads it in a process of its own for
each row, whose anonymous memory is read every two milliseconds. Pages of the files do not count, as the kernel drops
them where memory is short, nor what importing the libraries takes. `bound`: the weights that stay on the host, and the
largest shard; more must never be needed.
"""

import argparse
import json
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from random_lisa import SIZES, save_random

from lisa_ros.inference.precision import PRECISIONS

STORED = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
MEGABYTE = 1e6
_INTERVAL = 0.002  # s between two readings
_LOADER = """
import json, sys, time
from lisa_ros import Lisa
if sys.argv[2] in ("int8", "nf4"):
    import bitsandbytes
elif sys.argv[2] == "int4":
    import torchao.prototype.quantization.int4, torchao.quantization
print("ready", flush=True)
sys.stdin.readline()
started = time.perf_counter()
lisa = Lisa.from_pretrained(sys.argv[1], precision=sys.argv[2], device=sys.argv[3], compile="never")
seconds = time.perf_counter() - started
stays = lisa.memory()["weights"] if lisa.device.type == "cpu" else 0
print(json.dumps({"stays": stays, "seconds": seconds}), flush=True)
sys.stdin.readline()
"""


def anonymous_bytes(process: int) -> int:
    """Of a process: memory that is no page of a file."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {process} has ended")


def load_once(checkpoint: Path, precision: str, device: str, shard: int) -> dict[str, object]:
    """One row. shard: bytes of the largest."""
    words = [sys.executable, "-c", _LOADER, str(checkpoint), precision, device]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the loader did not start")
        before = peak = anonymous_bytes(process.pid)
        process.stdin.write("go\n")
        process.stdin.flush()
        while (found := _line(process)) is None:
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(_INTERVAL)
        after = anonymous_bytes(process.pid)
        process.stdin.write("done\n")
    row = json.loads(found)
    bound = row["stays"] + shard
    peak = max(peak, after) - before
    return {
        "precision": precision, "peak": peak, "after": after - before, "stays": row["stays"], "largest_shard": shard,
        "bound": bound, "within": peak <= bound, "seconds": row["seconds"],
    }  # fmt: skip


def _line(process: subprocess.Popen) -> str | None:
    """What the loader has printed; None as long as it is loading. Raises RuntimeError if it has failed."""
    if not select.select([process.stdout], [], [], 0)[0]:
        return None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the loader ended with {process.wait()}")
    return line


def table(rows: list[dict]) -> str:
    """For people to read."""
    lines = [f"{'stored':<8}{'loaded':<8}{'peak MB':>9}{'stay MB':>9}{'shard MB':>10}{'bound MB':>10}{'s':>7}"]
    for row in rows:
        figures = [row[name] / MEGABYTE for name in ("peak", "stays", "largest_shard", "bound")]
        words = "".join(f"{value:>{width}.0f}" for value, width in zip(figures, (9, 9, 10, 10), strict=True))
        lines.append(
            f"{row['stored']:<8}{row['precision']:<8}{words}{row['seconds']:>7.1f}{'' if row['within'] else '  above'}"
        )
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    """Prints the table; 1 where a row is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="medium", help="default: %(default)s")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=PRECISIONS, help="default: all")
    parser.add_argument("--stored", nargs="+", choices=STORED, default=("bf16", "fp32"), help="default: bf16 fp32")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--shard-gb", type=float, default=4.0, metavar="GB", help="largest (default: %(default)s)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the checkpoint is written, and removed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    args = parser.parse_args(words)
    rows = []
    for stored in args.stored:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            out = Path(folder) / "lisa"
            shard = max(save_random(args.size, out, STORED[stored], int(args.shard_gb * 1e9)).values())
            for precision in args.precision:
                rows.append({"stored": stored} | load_once(out, precision, args.device, shard))
                print(table(rows[-1:]), file=sys.stderr, flush=True)
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0 if all(row["within"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
