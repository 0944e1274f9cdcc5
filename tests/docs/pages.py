"""The blocks of shell commands of every page, with what stands above them about tests."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?P<marker>(?:not run|run): .+?) -->\n)?"
    r"^[ ]*```(?:bash)?\n(?P<body>.*?)^[ ]*```$",
    re.MULTILINE | re.DOTALL,
)
_PROGRAM = re.compile(
    r"^(\$ |[A-Z_]+=\S+ )*(make|lisa-ros|python3?|ros2|accelerate|torchrun|pip|colcon|docker|hf|source|rosdep|"
    r"bloom-\w+|scripts/\S+|\.venv/\S+|for|export|git|mkdir|sudo)\b"
)


@dataclass(frozen=True)
class Block:
    """marker: "run: ..." or "not run: ...", "" without one. commands: one a line, continued lines joined."""

    page: str
    line: int
    marker: str
    commands: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def of(self, *program: str) -> list[list[str]]:
        """The words behind a program's name, of each of its commands."""
        split = [shlex.split(command.removeprefix("$ "), comments=True) for command in self.commands]
        return [words[len(program) :] for words in split if tuple(words[: len(program)]) == program]


def blocks() -> list[Block]:
    """Every block of shell that has a command in it."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(without_others(text)):
            body = match["body"].replace("\\\n", " ")
            commands = tuple(line.strip() for line in body.splitlines() if _PROGRAM.match(line.strip()))
            if commands:
                line = text[: match.start("body")].count("\n")
                found.append(Block(str(page.relative_to(ROOT)), line, match["marker"] or "", commands))
    return found


def without_others(text: str) -> str:
    """The page with its blocks of other languages blanked, so that their ends begin no block."""
    others = re.compile(r"^[ ]*```(?!bash\n)\w+\n.*?^[ ]*```$", re.MULTILINE | re.DOTALL)
    return others.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
