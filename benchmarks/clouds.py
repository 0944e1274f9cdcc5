"""Time of clouds and boxes for targets of different sizes, in one process, on the simulated tabletop.

    python benchmarks/clouds.py --json clouds.json

Medians of CPU time (what the query costs) and of wall time (what the robot waits, on this machine, as busy as it is).
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

from lisa_ros.geometry import CameraModel, scene_cloud, target_clouds
from lisa_ros.simulator import Scene, generate_scene
from lisa_ros.simulator.depth_noise import noisy_depth

SIZES = ((480, 640), (720, 1280))
SMALL, LARGE = 10_000, 300_000  # pixels of a mask


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=15, metavar="N", help="runs of each case (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, metavar="S", help="scene (default: %(default)s)")
    parser.add_argument("--noise", default="realsense", metavar="MODEL", help="depth noise (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    args = parser.parse_args()
    cv2.setNumThreads(1)  # as the node's cloud process does, so that the CPU time is all there is
    rows = [measure(name, job, args.repeat) for name, job in cases(args.seed, args.noise)]
    print(f"{'':<44}{'pixels':>9}{'CPU ms':>9}{'wall ms':>9}")
    for row in rows:
        print(f"{row['case']:<44}{row['pixels']:>9}{row['cpu_ms']:>9.1f}{row['wall_ms']:>9.1f}")
    if args.json:
        args.json.write_text(json.dumps({"noise": args.noise, "seed": args.seed, "rows": rows}, indent=1) + "\n")
    return 0


def cases(seed: int, noise: str):
    """(name, (masks, depth, image, camera, with_scene)) of each case."""
    for height, width in SIZES:
        scene = generate_scene(seed, height, width)
        depth = noisy_depth(scene.depth, scene.intrinsics, noise, np.random.default_rng(seed))
        camera = CameraModel.from_matrix(scene.intrinsics, width, height)
        masks = [scene.mask(item.id) for item in scene.objects]
        by_size = sorted(masks, key=lambda mask: abs(int(mask.sum()) - SMALL))
        rest = depth, scene.image, camera
        yield f"{width}x{height} one target", ([by_size[0]], *rest, False)
        yield f"{width}x{height} one target, scene cloud", ([by_size[0]], *rest, True)
        yield f"{width}x{height} three targets", (by_size[:3], *rest, False)
        yield f"{width}x{height} scene cloud alone", ([], *rest, True)
        if height * width > 2 * LARGE:
            yield f"{width}x{height} everything below the middle", ([large_mask(scene)], *rest, False)


def large_mask(scene: Scene) -> np.ndarray:
    """(H, W) bool: a rectangle of LARGE pixels that holds objects and table."""
    height, width = scene.depth.shape
    columns = 3 * width // 4
    rows = -(-LARGE // columns)
    mask = np.zeros((height, width), bool)
    mask[height - rows - 20 : height - 20, width // 8 : width // 8 + columns] = True
    return mask


def measure(name: str, job, repeat: int) -> dict:
    """Medians after one run that warms up."""
    masks, depth, image, camera, with_scene = job
    cpu, wall = [], []
    for turn in range(repeat + 1):
        start = time.thread_time(), time.perf_counter()
        if masks:
            target_clouds(masks, depth, image, camera, with_scene=with_scene)
        else:
            scene_cloud(np.zeros(image.shape[:2], bool), depth, image, camera)
        if turn:
            cpu.append(time.thread_time() - start[0])
            wall.append(time.perf_counter() - start[1])
    pixels = int(sum(mask.sum() for mask in masks))
    return {
        "case": name,
        "pixels": pixels,
        "cpu_ms": round(1000 * float(np.median(cpu)), 2),
        "wall_ms": round(1000 * float(np.median(wall)), 2),
    }


if __name__ == "__main__":
    raise SystemExit(main())
