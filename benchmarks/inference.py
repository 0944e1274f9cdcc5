"""Our engine beside a plain rendering of the official algorithm on the same random weights, and where the time goes.

    python benchmarks/inference.py --size medium --pairs 3 --json inference.json
    python benchmarks/inference.py --size 7b --device cuda --precision bf16

Both answer the same query in turn; their masks must agree, or nothing is reported. What the language model says is
chosen for it, so that every answer has 16 tokens and a mask, while it computes all that it would. On a CPU figures are
CPU time of one thread, which other work on the machine disturbs least. `sam_encoder_fp32`, where `--precision` is
another, holds our encoder against the package's in float32.
"""

import argparse
import copy
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import official_inference as official
import torch
from inference_memory import memory_table
from inference_stages import Stages, clock, seconds, transport
from random_lisa import GPU_SIZES, SIZES, random_engine
from tqdm import tqdm

from lisa_ros.inference.compiled_step import COMPILE, TokenLoop
from lisa_ros.inference.engine import Lisa
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.inference.generation import greedy_token, prefill
from lisa_ros.inference.precision import PRECISIONS, resolve_device
from lisa_ros.model.preprocess import sam_preprocess
from lisa_ros.simulator import generate_scene
from lisa_ros.types import MaskReady

TOKENS, SEG_AT, EXPLANATION = 16, 6, 200  # of an answer, unless said otherwise; where its [SEG] stands; of a long one
QUESTION = "Where is the thing that one drinks from? Please output segmentation mask."
MANY = [f"the thing number {number}" for number in range(10)]
CLOSE = {"fp32": 1e-4}  # difference of mask logits by the largest of them, or by 1 if all are smaller
CLOSE_COARSE = 0.1  # in the other formats, whose rounding depends on the order of sums
BARS = {"llm_16": 12, "query_16": 7, "second_query": 25, "mask_only": 8, "ten_queries": -2, "first_mask_share": -0.1}


class NotEqualError(Exception):
    """The two algorithms do not compute the same masks."""


@contextmanager
def scripted(lisa: Lisa, count: int) -> Iterator[list[int]]:
    """The language model's answer is `count` given tokens, whatever its logits are; they are yielded."""
    words = [token for token in range(5, 400) if lisa.tokenizer.is_text(token)]
    script = [words[number % len(words)] for number in range(count)]
    script[SEG_AT] = lisa.tokenizer.seg_id
    said = iter(script)

    def say(module: torch.nn.Module, inputs: tuple, logits: torch.Tensor) -> None:
        logits.view(-1, logits.shape[-1])[-1, next(said)] += 1e4

    hook = lisa.network.lm_head.register_forward_hook(say)
    try:
        yield script
    finally:
        hook.remove()


class Pairs:
    """Takes the same query through both algorithms in turn, and times its parts."""

    def __init__(self, lisa: Lisa, image: np.ndarray, close: float, tokens: int = TOKENS) -> None:
        self.lisa, self.image, self.close, self.tokens = lisa, image, close, tokens
        self.ids = self._prompt(lisa.encode(image))
        self.ratios: dict[str, list[float]] = defaultdict(list)
        self.difference = 0.0
        encoder = lisa.network.sam.image_encoder
        self.exact = None if encoder.pos_embed.dtype == torch.float32 else copy.deepcopy(encoder).float()

    def _prompt(self, frame: EncodedFrame) -> list[int]:
        return self.lisa.model.prompt_ids(frame, [(self.lisa.model.first_question(QUESTION), None)])

    def run(self) -> EncodedFrame:
        """One pair of everything. Raises NotEqualError."""
        lisa, image, device, count = self.lisa, self.image, self.lisa.device, self.tokens
        with scripted(lisa, count):
            started = clock(device)
            tokens, hidden = official.generate(lisa, image, self.ids, count)
            theirs = {"llm": clock(device) - started}
            with torch.inference_mode():
                at = len(self.ids) + SEG_AT - 1
                expected = official.masks(lisa, image, hidden, [at])
            theirs["query"] = clock(device) - started
        with scripted(lisa, count) as script:
            started = clock(device)
            frame = lisa.encode(image)
            result = lisa.chat(frame, QUESTION, max_new_tokens=count)
            ours = {"query": clock(device) - started}
        if tokens != script or len(result.targets) != 1:
            raise NotEqualError(f"{len(tokens)} tokens and {len(result.targets)} masks; the script was not followed")
        self._compare(expected[0], result.targets[0].logits)
        with scripted(lisa, count):
            ours["second"] = seconds(lambda: lisa.chat(frame, QUESTION, max_new_tokens=count), device)
        ours |= self._encoders(theirs)
        with scripted(lisa, count):
            ours["llm"] = seconds(self._language, device)
        ours["mask_only"] = seconds(lambda: lisa.segment(lisa.encode(image), MANY[0]), device)
        ours["ten"] = seconds(lambda: lisa.segment_many(lisa.encode(image), MANY), device)
        self.ratios[f"llm_{count}"].append(theirs["llm"] / ours["llm"])
        self.ratios[f"query_{count}"].append(theirs["query"] / ours["query"])
        self.ratios["sam_encoder"].append(theirs["sam"] / ours["sam"])
        if self.exact is not None:
            self.ratios["sam_encoder_fp32"].append(theirs["sam_fp32"] / ours["sam"])
        self.ratios["mask_only"].append(theirs["query"] / ours["mask_only"])
        self.ratios["second_query"].append(theirs["query"] / ours["second"])
        self.ratios["ten_queries"].append(ours["ten"] / ours["mask_only"])
        self.ratios["first_mask_share"].append(self._first_mask(frame))
        return frame

    @torch.inference_mode()
    def _language(self) -> None:
        """The language part of a first query as the engine takes it: CLIP, the prompt, one token after the other."""
        network = self.lisa.network
        pixels = network.vision_tower.preprocess(self.image).to(self.lisa.device)
        cache, hidden = prefill(network, self.ids, network.visual_tokens(None, pixels))
        with self.lisa.model.compiled_for_answer() as step:
            loop = TokenLoop(network, cache, step)
            for _ in range(self.tokens - 1):
                hidden = loop.feed(greedy_token(network, hidden)[0])
        greedy_token(network, hidden)

    def _encoders(self, theirs: dict[str, float]) -> dict[str, float]:
        network, device = self.lisa.network, self.lisa.device
        with torch.inference_mode():
            pixels = sam_preprocess(self.image, network.config.sam.image_size).to(device)
            theirs["sam"] = seconds(lambda: official.encode_image(network, pixels), device)
            ours = {"sam": seconds(lambda: network.encode_image(pixels), device)}
            if self.exact is not None:
                theirs["sam_fp32"] = seconds(lambda: official.forward(self.exact, pixels), device)
            return ours

    def _first_mask(self, frame: EncodedFrame) -> float:
        """Share of a long answer's time, on a frame that is encoded, after which its mask is there."""
        with scripted(self.lisa, EXPLANATION):
            started = clock(self.lisa.device)
            for event in self.lisa.stream(frame, QUESTION, max_new_tokens=EXPLANATION):
                if isinstance(event, MaskReady):
                    first = clock(self.lisa.device) - started
            return first / (clock(self.lisa.device) - started)

    def _compare(self, expected: np.ndarray, computed: np.ndarray) -> None:
        difference = np.abs(expected - computed).max() / max(1.0, np.abs(expected).max())
        if not difference <= self.close:
            raise NotEqualError(f"masks differ by {difference:.2g} of their largest value, more than {self.close}")
        self.difference = max(self.difference, float(difference))


def measure(
    size: str, device: torch.device, precision: str, pairs: int, *, tokens: int = TOKENS, compile: str = "never"
) -> dict:
    """Everything that is reported; compile: as of Lisa.from_pretrained. Raises NotEqualError."""
    torch.manual_seed(0)
    lisa, scene = random_engine(size, device, precision, compile), generate_scene(7, 480, 640)
    both = Pairs(lisa, scene.image, CLOSE.get(precision, CLOSE_COARSE), tokens)
    stages: dict[str, list[float]] = defaultdict(list)
    for _ in tqdm(range(pairs), desc="pairs", file=sys.stderr):
        frame = both.run()
        timed = Stages(lisa, scene, frame, both.ids)
        for name, value in timed.measure().items():
            stages[name].append(value)
    dtype = lisa.network.sam.image_encoder.pos_embed.dtype
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return {
        "size": size,
        "device": name,
        "precision": precision,
        "pairs": pairs,
        "tokens": tokens,
        "compiled": lisa.model.compiled is not None,
        "prompt_tokens": len(both.ids),
        "largest_difference_of_masks": both.difference,
        "ratios": {key: spread(values) for key, values in both.ratios.items()},
        "stages": {key: spread(values) for key, values in stages.items()} | {"ROS transport": transport(scene.image)},
        "floors": timed.floors(dtype),
        "memory": {"here": lisa.memory(), "published": memory_table()},
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Of the pairs."""
    return {"min": min(values), "median": median(values), "max": max(values)}


def table(result: dict) -> str:
    """For people to read."""
    lines = [
        f"{result['size']} {result['precision']} on {result['device']}, {result['pairs']} pairs, prompt of "
        f"{result['prompt_tokens']} tokens, masks differ by {result['largest_difference_of_masks']:.1e} at most",
        "",
        f"{'official / ours':<20}{'min':>9}{'median':>9}{'max':>9}{'bar':>9}",
    ]
    for name, found in result["ratios"].items():
        bar = BARS.get(name) if result["size"] == "medium" else None
        wanted = "" if bar is None else f"{'>=' if bar > 0 else '<='} {abs(bar)}"
        lines.append(f"{name:<20}" + "".join(f"{value:>9.2f}" for value in found.values()) + f"{wanted:>9}")
    lines += ["", f"{'stage':<20}{'least ms':>10}{'floor ms':>10}{'reached':>9}"]
    for name, found in result["stages"].items():
        least = found if isinstance(found, float) else found["min"]
        floor = result["floors"].get(name)
        end = f"{1e3 * floor['seconds']:>10.1f}{floor['seconds'] / least:>9.0%}" if floor else ""
        lines.append(f"{name:<20}{1e3 * least:>10.1f}{end}")
    rates = result["floors"]["rates"]
    lines += ["", f"rates: {rates['flops'] / 1e9:.0f} GFLOP/s, {rates['bytes'] / 1e9:.1f} GB/s", ""]
    lines.append(f"{'GB, calculated':<20}{'weights':>9}{'query':>9}{'loading':>9}  24 GB")
    for one in result["memory"]["published"]:
        figures = (one["weights_gb"], one["query_peak_gb"], one["loading_peak_gb"])
        name, fits = f"{one['size']} {one['precision']}", "yes" if one["fits_24_gb"] else "no"
        lines.append(f"{name:<20}" + "".join(f"{value:>9.2f}" for value in figures) + f"  {fits}")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    """Prints the table; 1 where the masks differ, 2 without the GPU that a size needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="medium", help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="default: %(default)s")
    parser.add_argument(
        "--tokens",
        type=int,
        default=TOKENS,
        metavar="N",
        help=f"of an answer, {SEG_AT + 1} at least (default: {TOKENS})",
    )
    parser.add_argument("--compile", choices=COMPILE, default="never", help="the step of a token (default: never)")
    parser.add_argument("--pairs", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of a CPU (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    args = parser.parse_args(words)
    device = resolve_device(args.device)
    if args.size in GPU_SIZES and device.type == "cpu":
        print(f"--size {args.size} needs --device cuda", file=sys.stderr)
        return 2
    torch.set_num_threads(args.threads)
    try:
        result = measure(
            args.size, device, args.precision, args.pairs, tokens=max(args.tokens, SEG_AT + 1), compile=args.compile
        )
    except NotEqualError as error:
        print(f"nothing to report: {error}", file=sys.stderr)
        return 1
    print(table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
