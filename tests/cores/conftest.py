"""Reference data of CoReS' official code: the tests here run on every variant of it that is found.

CoReS has no licence: its sentences stay outside the repository, so that without ../shared (or LISA_ROS_GOLDEN) the
parity tests are skipped. A variant's own sentences reach the network as a user's would, by config.json.
"""

import json
import shutil
import tempfile
from functools import cached_property
from pathlib import Path

import pytest
from golden_variants import GoldenVariant, find_golden, turns_of


class CoresGolden(GoldenVariant):
    """A tiny model, and what the official code computed with it."""

    @property
    def prefix(self) -> str:
        """What stands before the first question."""
        return self.json("prompts")["prefix_before_first_question"]

    def turns(self, conversation: str) -> list[tuple[str, str]]:
        """The turns of a rendered conversation without the example in front of it and what stands for the image."""
        assert conversation.startswith(self.prefix)
        return turns_of(conversation.removeprefix(self.prefix))

    @cached_property
    def checkpoint(self) -> Path:
        """The published directory, whose config.json says with which sentences it was trained."""
        folder = Path(tempfile.mkdtemp(prefix="cores_")) / self.directory.name
        shutil.copytree(self.directory / self.meta["hf_dir"], folder, copy_function=shutil.copyfile)
        folder.chmod(0o755)
        words = {
            "phrase": " What is {text} in this image? Please output segmentation mask.",
            "sentence": " {text} Please output segmentation mask.",
            "answer": self.json("prompts")["validation_answer"],
        }
        values = json.loads((folder / "config.json").read_text()) | {
            "system_prompt": self.prefix.removesuffix(" "),
            "mask_query": words,
        }
        (folder / "config.json").write_text(json.dumps(values))
        return folder

    @property
    def options(self) -> dict:
        """What shapes do not tell, given as a user would."""
        return {"vision_tower": self.directory / "clip_tiny", "sam": self.meta["sam"]}

    @cached_property
    def lisa(self):
        from lisa_ros import Lisa

        return Lisa.from_pretrained(self.checkpoint, device="cpu", **self.options)


_WITHOUT = "no reference data of CoReS in LISA_ROS_GOLDEN or ../shared"
_SKIPPED = pytest.param(None, marks=pytest.mark.skip(reason=_WITHOUT))
_VARIANTS = [CoresGolden(directory) for directory in find_golden("cores")] or [_SKIPPED]


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize(
            "variant", _VARIANTS, ids=lambda variant: variant.directory.name if variant else "none", scope="session"
        )
