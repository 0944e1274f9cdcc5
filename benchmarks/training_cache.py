"""What the cache of SAM features saves: seconds of a training step with and without it.

`python benchmarks/training_cache.py` builds LISA with random weights in the sizes of --size and times steps on the
device. "small": SAM ViT-B, LLaMA 512x8; "7b": the published sizes (GPU).
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch
from random_lisa import SIZES, build

from lisa_ros.model.preprocess import sam_preprocess
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from training.data.collate import Batch
from training.model.objective import LisaObjective

SEG, TEXT, IMAGES, ROWS = 32000, 60, 2, 3


def make_batch(objective: LisaObjective) -> Batch:
    """Two 480x640 images with three conversations, as a published micro-batch."""
    network, rng = objective.network, np.random.default_rng(0)
    images = [rng.integers(0, 255, (480, 640, 3), dtype=np.uint8) for _ in range(IMAGES)]
    row = [1, *[IMAGE_TOKEN_ID] * 256, *rng.integers(3, 30000, TEXT).tolist(), SEG, 2]
    ids = torch.tensor([row] * ROWS)
    labels = torch.where(torch.arange(len(row)) >= len(row) - 2, ids, -100)
    return Batch(
        ids=ids,
        labels=labels,
        attention_mask=torch.ones_like(ids, dtype=torch.bool),
        image_of_row=torch.tensor([0, 0, 1]),
        states=torch.tensor([[index, len(row) - 3] for index in range(ROWS)]),
        sam_pixels=torch.cat([sam_preprocess(image, network.config.sam.image_size) for image in images]),
        clip_pixels=torch.cat([network.vision_tower.preprocess(image) for image in images]),
        features=None,
        masks=(torch.zeros(2, 480, 640, dtype=torch.bool), torch.ones(1, 480, 640, dtype=torch.bool)),
        valid=(None, None),
        keys=("a", "b"),
    )


def seconds_of_step(objective: LisaObjective, batch: Batch, repeats: int) -> float:
    """Median of forward and backward."""
    device, times = batch.ids.device, []
    for _ in range(repeats + 1):
        objective.zero_grad()
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = objective(batch).loss
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    objective = build(args.size, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    batch = make_batch(objective).to(device)
    without = seconds_of_step(objective, batch, args.repeats)
    with torch.no_grad():
        features = objective.encode(batch)
    batch = Batch(**{**vars(batch), "features": features, "sam_pixels": None})
    cached = seconds_of_step(objective, batch, args.repeats)
    result = {"size": args.size, "device": device.type, "without_cache_s": without, "with_cache_s": cached}
    print(json.dumps({**result, "speed_up": without / cached}, indent=2))


if __name__ == "__main__":
    main()
