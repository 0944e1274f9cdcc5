"""The command `compare-styles`: a process for each style, then the table."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from training.comparison.answer_sheet import draw_answers
from training.comparison.config import ComparisonBase, ComparisonConfig
from training.comparison.report import MARKDOWN, write_report
from training.comparison.score_style import read_answers, score_style
from training.comparison.scores import columns, scores
from training.comparison.train_style import core_seconds, train_style
from training.errors import TrainingError

_LOG = "output.txt"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def compare_styles(config: ComparisonConfig, config_file: Path) -> None:
    """Trains and scores every style that is not yet finished, and writes the report into run_dir.

    Args:
        config: Of the comparison.
        config_file: Where it was read from, for the processes of the styles.

    Raises:
        TrainingError: The process of a style failed; its output says why.
    """
    run_processes(config, config_file, "compare-styles", "--style")
    answers = {style: read_answers(config, style) for style in config.styles}
    minutes = {style: core_seconds(config.run_dir / style / "log.jsonl") / 60 for style in config.styles}
    write_report(config, scores(answers, columns(config.evaluation)), minutes)
    draw_answers(config, {style: config.run_dir / style / "checkpoint" for style in config.styles})
    print((config.run_dir / MARKDOWN).read_text(encoding="utf-8"))


def run_style(config: ComparisonConfig, style: str) -> None:
    """What the process of one style does: training, then scoring, each resumed where it was interrupted."""
    torch.set_num_threads(1)
    score_style(config, style, train_style(config, style))


def run_processes(config: ComparisonBase, config_file: Path, command: str, option: str) -> None:
    """Runs a process for each name of a comparison, as many at a time as `processes` says.

    Args:
        config: Of the comparison.
        config_file: Where it was read from.
        command: Of the command line.
        option: Of the command, whose value is the name.

    Raises:
        TrainingError: A process failed; its output says why.
    """
    with ThreadPoolExecutor(config.processes) as pool:
        list(pool.map(lambda name: _run_process(config, config_file, command, option, name), config.names))


def _run_process(config: ComparisonBase, config_file: Path, command: str, option: str, name: str) -> None:
    directory = config.run_dir / name
    directory.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "training", command, "--config", str(config_file), option, name]
    print(f"{name}: {directory / _LOG} shows how it goes", flush=True)
    with open(directory / _LOG, "a", encoding="utf-8") as output:
        done = subprocess.run(words, env=os.environ | _ONE_THREAD, stdout=output, stderr=subprocess.STDOUT)
    if done.returncode:
        raise TrainingError(
            f"the process of {name} ended with {done.returncode}; {directory / _LOG} says why, and the same "
            "command goes on from what was saved"
        )
