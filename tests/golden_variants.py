"""Where the reference data of the official systems are found: one directory a variant, by the system it is of."""

import json
import os
import re
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
_SHARED = ROOT.parent / "shared"


def find_golden(system: str | None) -> list[Path]:
    """The variants of a system, None for LISA: below LISA_ROS_GOLDEN, else in the repository; and in ../shared.

    A variant is a directory with an oracle_meta.json, whose `system` is missing in LISA's; one of each name is taken.
    """
    given = os.environ.get("LISA_ROS_GOLDEN")
    places = [Path(given) if given else ROOT / "tests" / "golden", _SHARED / "golden", _SHARED / "golden_systems"]
    found: dict[str, Path] = {}
    for place in places:
        for depth in ("", "*/", "*/*/"):
            for meta in sorted(place.glob(f"{depth}oracle_meta.json")):
                if json.loads(meta.read_text()).get("system") == system:
                    found.setdefault(meta.parent.name, meta.parent)
    return list(found.values())


class GsvaVariant:
    """A tiny GSVA and what the official code computed with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.meta = json.loads((directory / "oracle_meta.json").read_text())
        self._frames = {}

    def json(self, name: str):
        return json.loads((self.directory / "golden" / f"{name}.json").read_text())

    def arrays(self, name: str) -> np.lib.npyio.NpzFile:
        return np.load(self.directory / "golden" / f"{name}.npz")

    @property
    def options(self) -> dict:
        """What shapes and files do not tell, given as a user would."""
        return {
            "vision_tower": self.directory / "clip_tiny",
            "sam": self.meta["sam"],
            "conv_type": self.meta["conv_type"],
        }

    @property
    def unmerged_options(self) -> dict:
        """For the un-merged weights, beside `options`."""
        alpha, base = self.meta["lora"]["alpha"], self.directory / "llava_base"
        return {"base": base, "style": "gsva", "sam_checkpoint": self.directory / "sam_tiny.pth", "lora_alpha": alpha}

    @cached_property
    def lisa(self):
        """The engine with the merged weights."""
        from lisa_ros import Lisa

        return Lisa.from_pretrained(self.directory / "gsva_hf", device="cpu", **self.options)

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return np.array(Image.open(self.directory / "images" / f"img{index}.png").convert("RGB"))

    def frame(self, index: int):
        """The encoded image, computed once a session."""
        if index not in self._frames:
            self._frames[index] = self.lisa.encode(self.image(index))
        return self._frames[index]


def turns_of(conversation: str) -> list[tuple[str, str]]:
    """The (question, answer) turns of a rendered conversation, without what stands for the image."""
    if "[INST]" in conversation:
        turns = re.findall(r"\[INST\] (.*?) \[/INST\] (.*?) </s>", conversation, re.DOTALL)
        turns = [(question.split("<</SYS>>\n\n")[-1], answer) for question, answer in turns]
    else:
        turns = re.findall(r"USER: (.*?) ASSISTANT: (.*?)</s>", conversation, re.DOTALL)
    pictured = re.compile(r"^(<im_start>)?<image>(<im_end>)?\n")
    return [(pictured.sub("", question), answer) for question, answer in turns]
