"""The results of benchmarks/gpu.sh as Markdown: `python benchmarks/gpu_table.py out/gpu`.

The goals are those of docs/performance.md; a goal in tokens/s is for an RTX 3090 and is scaled by the rate of a copy.
"""

import json
import sys
from pathlib import Path

STEPS = ("bf16", "bf16_plain_steps", "int4", "int8", "nf4", "large_int4")
RTX3090 = 936e9  # bytes/s that its memory is said to have
GIGABYTE = 1e9
_HEAD = (
    *("run", "size", "compiled", "token ms", "tokens/s", "of the floor", "SAM encoder ms", "mask query ms"),
    *("language part", "whole query", "weights GB", "peak GB"),
)


def row(name: str, run: dict) -> list[str]:
    """One run's cells."""
    stages, ratios, memory, tokens = run["stages"], run["ratios"], run["memory"]["here"], run["tokens"]
    token = stages["token"]["min"]
    return [
        name,
        run["size"],
        "yes" if run["compiled"] else "no",
        f"{1e3 * token:.1f}",
        f"{1 / token:.0f}",
        f"{run['floors']['token']['seconds'] / token:.0%}",
        f"{1e3 * stages['SAM encoder']['min']:.0f}",
        f"{1e3 * stages['mask-only query']['min']:.0f}",
        f"{ratios[f'llm_{tokens}']['median']:.1f}x",
        f"{ratios[f'query_{tokens}']['median']:.1f}x",
        f"{memory['weights'] / GIGABYTE:.1f}",
        f"{memory['peak'] / GIGABYTE:.1f}",
    ]


def goals(runs: dict[str, dict]) -> list[list[str]]:
    """What was reached of each goal, of the runs that are there."""
    found = []
    if run := runs.get("bf16"):
        token, stages = run["stages"]["token"]["min"], run["stages"]
        share = run["floors"]["token"]["seconds"] / token
        encoder, query = (1e3 * stages[name]["min"] for name in ("SAM encoder", "mask-only query"))
        ratio = run["ratios"][f"query_{run['tokens']}"]["median"]
        found += [
            ["bf16, a token: share of the floor", ">= 85%", f"{share:.0%}", _said(share >= 0.85)],
            ["Segment Anything's encoder (A100 class)", "<= 50 ms", f"{encoder:.0f} ms", _said(encoder <= 50)],
            ["mask-only query on an encoded frame", "<= 128 ms", f"{query:.0f} ms", _said(query <= 128)],
            [f"answer of {run['tokens']} tokens, official / ours", ">= 10", f"{ratio:.1f}", _said(ratio >= 10)],
        ]
    if run := runs.get("int4"):
        rate = 1 / run["stages"]["token"]["min"]
        goal = 170 * run["floors"]["rates"]["bytes"] / RTX3090
        found.append(["int4", f">= {goal:.0f} tokens/s", f"{rate:.0f}", _said(rate >= goal)])
    return found


def _said(reached: bool) -> str:
    return "yes" if reached else "no"


def markdown(head: tuple[str, ...], rows: list[list[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def main(words: list[str]) -> int:
    """Prints the tables; 1 where no run left any figures."""
    folder = Path(words[0])
    runs = {name: json.loads(path.read_text()) for name in STEPS if (path := folder / f"{name}.json").is_file()}
    if not runs:
        print(f"{folder} has no figures", file=sys.stderr)
        return 1
    first = next(iter(runs.values()))
    rates = first["floors"]["rates"]
    print(
        f"{first['device']}: {rates['flops'] / 1e12:.1f} TFLOP/s, a copy at {rates['bytes'] / 1e9:.0f} GB/s; ", end=""
    )
    print(f"answers of {first['tokens']} tokens after a prompt of {first['prompt_tokens']}.\n")
    print(markdown(_HEAD, [row(name, run) for name, run in runs.items()]))
    print("\n" + markdown(("goal", "", "measured", "reached"), goals(runs)))
    if (path := folder / "loading.json").is_file():
        rows = [
            [one["precision"], *(f"{one[key] / GIGABYTE:.2f}" for key in ("peak", "stays", "largest_shard"))]
            for one in json.loads(path.read_text())
        ]
        print("\n" + markdown(("loaded as", "peak on the host GB", "stays there GB", "largest shard GB"), rows))
    for name in ("tests", *STEPS, "loading"):
        log = folder / f"{name}.log"
        lines = log.read_text().strip().splitlines() if log.is_file() else []
        if lines and "left out" in lines[-1]:
            print(f"\n`{name}`: {lines[-1].removeprefix(f'{name}: ')}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
