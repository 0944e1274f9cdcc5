"""Asks a perception node one question, prints the answer as it comes, and what was found.

python3 ask_once.py "the red mug"
python3 ask_once.py "something to cut the bread with" --name /robot1/lisa --mask mask.png
"""

import argparse
import sys

import numpy as np
from PIL import Image
from rclpy.utilities import remove_ros_args

from lisa_ros.client import PerceptionClient
from lisa_ros.errors import LisaError


def main() -> int:
    """0 where something was found, 1 where nothing was, 2 where nobody answered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("query", help="what to look for")
    parser.add_argument("--name", default="/lisa", help="namespace of the perception node (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="default: %(default)g")
    parser.add_argument("--mask", metavar="FILE", help="write the union of all masks to a picture")
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])

    try:
        with PerceptionClient(args.name) as lisa:
            result = lisa.ask(
                args.query, timeout=args.timeout, on_feedback=lambda news: print(news.delta, end="", flush=True)
            )
    except LisaError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2

    print(f"\n{result.status.name}" + (f": {result.message}" if result.message else ""))
    for target in result.targets:
        words = f"{target.phrase or 'it'}: {target.kind}, {int(target.mask.sum())} pixels"
        if target.location is not None:
            x, y, z = target.location.pose[:3, 3]
            words += f", box at x {x:.3f}, y {y:.3f}, z {z:.3f} m in {target.location.frame_id}"
        print(words)
    if args.mask and result.union_mask is not None:
        Image.fromarray(result.union_mask.astype(np.uint8) * 255).save(args.mask)
    return 0 if result.status.has_masks else 1


if __name__ == "__main__":
    sys.exit(main())
