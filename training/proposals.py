"""Proposals of a data set's pictures, written as masks.json: `python -m training proposals`."""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import torch

from lisa_ros.datasets.files import PICTURES
from lisa_ros.datasets.proposal_files import row_of_proposals, truth_proposals
from lisa_ros.errors import ConfigurationError, DatasetError, InvalidImageError
from lisa_ros.images import read_image
from lisa_ros.inference.precision import resolve_device
from lisa_ros.model.checkpoint import load
from lisa_ros.model.files import expand_home
from lisa_ros.model.proposals import SYSTEMS, CandidateProvider, ProposalOptions
from lisa_ros.model.sam import SegmentAnything, load_sam
from lisa_ros.model.saving import write_atomically
from lisa_ros.progress import ProgressBar
from lisa_ros.types import Sample
from training.data.sources import TRAINING, VALIDATION

_ENDING = ".part"  # of the file that grows picture by picture


class PictureFolder(Sequence[Sample]):
    """The pictures of a folder, sorted by name, as samples without questions.

    Attributes:
        source: Name of the folder.
    """

    def __init__(self, directory: Path) -> None:
        """Raises DatasetError where the folder has no picture."""
        self.source = directory.name
        found = directory.iterdir() if directory.is_dir() else ()
        self.paths = sorted(path for path in found if path.suffix.lower() in PICTURES)
        if not self.paths:
            raise DatasetError(f"{directory} has no pictures ({', '.join(PICTURES)})")

    def __len__(self) -> int:
        return len(self.paths)

    def key(self, index: int) -> str:
        """Name of the file."""
        return self.paths[index].name

    def __getitem__(self, index: int) -> Sample:
        return Sample(read_image(self.paths[index]), (), self.source)


def open_sam(source: str, device: torch.device) -> SegmentAnything:
    """Segment Anything's file (.pth), or that part of a LISA's checkpoint.

    Raises CheckpointError, ConfigurationError for a LISA without that part.
    """
    is_file = Path(expand_home(source)).is_file()
    sam = load_sam(source) if is_file else load(source).network.sam.eval()
    if not isinstance(sam, SegmentAnything):
        raise ConfigurationError(f"--sam {source} is a LISA with Mask2Former; proposals need Segment Anything's file")
    return sam.to(device)


def write_proposals(
    dataset: Sequence[Sample],
    out: Path,
    sam: SegmentAnything | None,
    options: ProposalOptions | None = None,
    limit: int | None = None,
) -> dict[str, str]:
    """Writes the proposals of a data set's pictures; what an earlier run of the same settings made is kept.

    Args:
        dataset: Samples with names (`key`).
        out: The file. Beside it, FILE.part grows picture by picture, and is removed in the end.
        sam: Makes the proposals; None takes the masks of each sample's own targets.
        options: How they are made; all of them are written, whatever its `limit`.
        limit: Number of pictures; None for all.

    Returns:
        Why pictures were left out, by their names.

    Raises:
        ConfigurationError: FILE.part was made with other settings.
        DatasetError: The file cannot be written.
    """
    provider = None if sam is None else CandidateProvider(sam, options or ProposalOptions())
    settings = _settings(dataset.source, sam, provider)
    count, left_out, part = min(len(dataset), limit or len(dataset)), {}, out.with_name(out.name + _ENDING)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        rows = _resume(part, settings)
        done = {row["image"] for row in rows}
        with (
            part.open("a", encoding="utf-8") as file,
            ProgressBar(count, unit="picture", description="proposals") as bar,
        ):
            for index in range(count):
                name = dataset.key(index)
                if name not in done:
                    try:
                        row = _row(dataset[index], name, provider)
                    except (DatasetError, InvalidImageError) as error:
                        left_out[name] = str(error)
                    else:
                        _append(file, row)
                        rows.append(row)
                        done.add(name)
                bar.advance(index + 1)
        text = json.dumps(rows)
        write_atomically(out, lambda path: path.write_text(text, encoding="utf-8"))
        part.unlink()
    except OSError as error:
        raise DatasetError(f"cannot write {out}: {error}") from error
    return left_out


def _row(sample: Sample, name: str, provider: CandidateProvider | None) -> dict[str, object]:
    found = truth_proposals(sample) if provider is None else provider.generate(sample.image)
    return row_of_proposals(name, found)


def _settings(source: str, sam: SegmentAnything | None, provider: CandidateProvider | None) -> dict[str, object]:
    """What proposals are made of; those of two settings are never in one file."""
    if sam is None:
        return {"source": source, "from": "truth"}
    digest = hashlib.sha256()
    for name, value in sorted(sam.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().float().numpy().tobytes())
    options = {name: value for name, value in asdict(provider.options).items() if name != "limit"}
    return {"source": source, "from": digest.hexdigest()[:16], **options}


def _resume(part: Path, settings: dict[str, object]) -> list[dict]:
    """Rows of an earlier run; a last line that was not finished is cut off."""
    if not part.exists():
        part.write_text(json.dumps(settings) + "\n", encoding="utf-8")
        return []
    lines = list(_whole_lines(part))
    if not lines or lines[0] != settings:
        raise ConfigurationError(
            f"{part} was made with other settings ({lines[0] if lines else 'none'}); remove it, or name another --out"
        )
    part.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return lines[1:]


def _whole_lines(part: Path) -> Iterator[dict]:
    for line in part.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def _append(file: TextIO, row: dict[str, object]) -> None:
    file.write(json.dumps(row) + "\n")
    file.flush()


def run(args: argparse.Namespace) -> int:
    """The command. Returns 1 where pictures were left out, which are named, else 0. Raises LisaError."""
    if args.system not in SYSTEMS:
        raise ConfigurationError(f"--system {args.system} is not known; there are {', '.join(SYSTEMS)}")
    if args.images and not args.sam:
        raise ConfigurationError("a folder of pictures has no truth: give --sam, or a data set with --set")
    sets = {**VALIDATION, **TRAINING}
    if args.set and args.set not in sets:
        raise ConfigurationError(f"--set {args.set!r} is not known; there are {', '.join(sets)}")
    dataset = PictureFolder(args.images) if args.images else sets[args.set](args.root)
    sam = open_sam(args.sam, resolve_device(args.device)) if args.sam else None
    left_out = write_proposals(dataset, args.out, sam, SYSTEMS[args.system], args.limit)
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}", file=sys.stderr)
    print(f"proposals in {args.out}" + (f", {len(left_out)} pictures left out" if left_out else ""))
    return 1 if left_out else 0
