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


class GoldenVariant:
    """A tiny model of one system and what the official code computed with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.meta = json.loads((directory / "oracle_meta.json").read_text())
        self._frames = {}

    def json(self, name: str):
        return json.loads((self.directory / "golden" / f"{name}.json").read_text())

    def arrays(self, name: str) -> np.lib.npyio.NpzFile:
        return np.load(self.directory / "golden" / f"{name}.npz")

    @property
    def images(self) -> int:
        return len(self.meta["image_sizes_hw"])

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return np.array(Image.open(self.directory / "images" / f"img{index}.png").convert("RGB"))

    def frame(self, index: int):
        """The encoded image, computed once a session."""
        if index not in self._frames:
            self._frames[index] = self.lisa.encode(self.image(index))
        return self._frames[index]


class GsvaVariant(GoldenVariant):
    """A tiny GSVA and what the official code computed with it."""

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


def turns_of(conversation: str) -> list[tuple[str, str]]:
    """The (question, answer) turns of a rendered conversation, without what stands for the image."""
    if "[INST]" in conversation:
        turns = re.findall(r"\[INST\] (.*?) \[/INST\] (.*?) </s>", conversation, re.DOTALL)
        turns = [(question.split("<</SYS>>\n\n")[-1], answer) for question, answer in turns]
    else:
        turns = re.findall(r"USER: (.*?) ASSISTANT: (.*?)</s>", conversation, re.DOTALL)
    pictured = re.compile(r"^(<im_start>)?<image>(<im_end>)?\n")
    return [(pictured.sub("", question), answer) for question, answer in turns]


class LlmSegVariant(GoldenVariant):
    """A tiny LLM-Seg and what the official code computed with it."""

    @property
    def options(self) -> dict:
        """What shapes and files do not tell, given as a user would."""
        dino, fusion, proposals = (self.meta[key] for key in ("dino", "fusion", "proposals"))
        head = {"dino_heads": dino["num_heads"], "input_size": dino["input_size"], "heads": fusion["num_heads"]}
        head |= {"pooling_size": fusion["up"], "long_side": proposals["long_side"], "limit": proposals["top_k"]}
        return {
            "vision_tower": self.directory / "clip_tiny",
            "sam": self.meta["sam"],
            "conv_type": self.meta["conv_type"],
            "proposal_head": head,
        }

    def load(self, weights: str, precision: str = "fp32", **rule):
        """The engine of the "merged" or "unmerged" weights. rule: of the choice, in place of the published one."""
        from lisa_ros import Lisa

        options = {**self.options, "precision": precision, "proposal_head": {**self.options["proposal_head"], **rule}}
        if weights == "merged":
            return Lisa.from_pretrained(self.directory / "llmseg_hf", device="cpu", **options)
        options |= {"base": self.directory / "llava_base", "lora_alpha": self.meta["lora"]["alpha"]}
        return Lisa.from_pretrained(self.directory / "ckpt_model", device="cpu", **options)

    @cached_property
    def lisa(self):
        """The engine with the merged weights."""
        return self.load("merged")

    @cached_property
    def unmerged(self):
        """The engine with the published, un-merged weights."""
        return self.load("unmerged")

    def image(self, name: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB of an image anywhere in the variant."""
        (path,) = (path for path in self.directory.rglob(name) if path.is_file())
        return np.array(Image.open(path).convert("RGB"))

    @cached_property
    def sam(self):
        """The Segment Anything that proposals were made with."""
        from lisa_ros.model.sam import SegmentAnything
        from lisa_ros.model.sam_config import infer_sam_config
        from lisa_ros.model.weights import read_weight_file

        weights = read_weight_file(self.directory / "sam_tiny.pth")
        sam = SegmentAnything(infer_sam_config(weights, self.meta["sam"]))
        sam.load_state_dict({key: value.float() for key, value in weights.items()})
        return sam.eval()

    def stored(self, name: str):
        """The stored proposals of an image; None where there are none."""
        from lisa_ros.datasets.proposal_files import StoredProposals

        files = (StoredProposals(path) for path in sorted(self.directory.rglob("masks.json")))
        return next((stored[name] for stored in files if name in stored), None)

    def frame(self, name: str, lisa=None):
        """The encoded image with its stored proposals; of the merged engine computed once a session."""
        if lisa is not None:
            return lisa.encode(self.image(name), self.stored(name))
        if name not in self._frames:
            self._frames[name] = self.lisa.encode(self.image(name), self.stored(name))
        return self._frames[name]
