"""The command line as a user meets it: output, files, exit status, one-line errors."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lisa_ros.cli import COMMANDS, main

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def checkpoint(golden):
    """Arguments that choose the tiny reference model, and one of its pictures."""
    folder = golden / "c_tiny" if (golden / "c_tiny").is_dir() else golden
    model = ["--model", str(folder / "lisa_hf"), "--vision-tower", str(folder / "clip_tiny"), "--device", "cpu"]
    return model, str(folder / "images" / "img0.png")


def run(*arguments) -> int:
    """The exit status; argparse ends the process for its own errors."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def test_help_names_every_command_and_loads_no_heavy_library():
    code = (
        "import sys; sys.argv = ['lisa-ros', '--help']\nfrom lisa_ros.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('LOADED', [m for m in ('torch', 'rclpy', 'open3d', 'cv2', 'numpy', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "LOADED []" in done.stdout, done.stderr
    assert all(f"    {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    assert run(command, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: lisa-ros {command}")


def test_module_and_script_are_the_same_program():
    done = subprocess.run([sys.executable, "-m", "lisa_ros", "--version"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("lisa_ros ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["ask"],
        ["ask", "a.png"],
        ["ask", "a.png", "b", "--phrase", "c"],
        ["ask", "a.png", "b", "--precision", "fp8"],
        ["ask", "a.png", "b", "--max-new-tokens", "x"],
        ["eval"],
        ["eval", "tabletop", "--split", "test"],
        ["eval", "tabletop", "--count", "0"],
    ],
)
def test_wrong_arguments_end_with_status_2_and_the_usage(arguments, capsys):
    assert run(*arguments) == 2
    assert "usage: lisa-ros" in capsys.readouterr().err


def assert_one_line_error(capsys, *words):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("lisa-ros "), lines
    assert all(word in lines[0] for word in words), lines


def test_a_missing_image_is_named(capsys, tmp_path):
    assert run("ask", tmp_path / "nothing.png", "the mug") == 2
    assert_one_line_error(capsys, "nothing.png")


def test_a_file_that_is_no_image_is_named(capsys, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"nonsense" * 10)
    assert run("ask", broken, "the mug") == 2
    assert_one_line_error(capsys, "broken.png")


def test_an_output_that_cannot_be_a_directory_is_named(capsys, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert run("ask", tmp_path / "a.png", "the mug", "--out", tmp_path / "a.png") == 2
    assert_one_line_error(capsys, "a.png")


def test_a_number_of_threads_out_of_its_limits_is_named(capsys, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert run("ask", tmp_path / "a.png", "the mug", "--threads", "-1", "--out", tmp_path / "out") == 2
    assert_one_line_error(capsys, "threads=-1", "0 (torch's own choice)")


def test_a_directory_without_a_checkpoint_is_named(capsys, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "model").mkdir()
    assert run("ask", tmp_path / "a.png", "the mug", "--model", tmp_path / "model", "--out", tmp_path / "out") == 2
    assert_one_line_error(capsys, "config.json")


def test_a_query_that_cannot_be_asked_is_refused(capsys, tmp_path, checkpoint):
    model, picture = checkpoint
    assert run("ask", picture, "the [SEG] thing", "--out", tmp_path, *model) == 2
    assert_one_line_error(capsys, "[SEG]")


def test_ask_answers_and_writes_masks_overlay_and_answer(capsys, tmp_path, checkpoint):
    model, picture = checkpoint
    assert run("ask", picture, "the red thing", "--out", tmp_path, "--max-new-tokens", 20, *model) == 0
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))
    assert report["query"] == "the red thing"
    stages = [seconds for stage, seconds in report["seconds"].items() if stage != "total"]
    assert report["seconds"]["encode"] > 0 and report["seconds"]["total"] == pytest.approx(sum(stages), abs=0.001)
    assert f"{report['seconds']['total']:.2f} s, {report['seconds']['encode']:.2f} of them for the image" in printed
    size = Image.open(picture).size
    assert Image.open(tmp_path / "overlay.png").size == size
    assert (tmp_path / "answer.txt").read_text(encoding="utf-8") == report["answer"] + "\n"
    assert report["targets"]
    union = np.zeros(size[::-1], bool)
    for target in report["targets"]:
        mask = np.array(Image.open(tmp_path / target["mask"]))
        assert set(np.unique(mask)) == {0, 255} and (mask > 0).sum() == target["area"]
        assert target["mask"] in printed
        union |= mask > 0
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / report["union"])) > 0, union)
    assert all(character.isprintable() or character == "\n" for character in printed)


def test_ask_tells_of_each_phrase_whether_it_is_there(capsys, tmp_path, checkpoint):
    model, picture = checkpoint
    phrases = ["the red thing", "nothing [of] the kind", "a box"]
    words = [word for phrase in phrases for word in ("--phrase", phrase)]
    assert run("ask", picture, *words, "--out", tmp_path, *model) == 0
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))
    assert report["query"] == ", ".join(phrases) and report["answer"] == ""
    assert [target["phrase"] for target in report["targets"]] == phrases
    for target in report["targets"]:
        assert 0 <= target["probability"] <= 1 and target["phrase"] in printed
        assert ("mask" in target) == (target["area"] > 0)
    assert run("ask", picture, "--phrase", "a box", "--mask-only", "--out", tmp_path, *model) == 2
    assert_one_line_error(capsys, "--mask-only")


def test_masks_of_an_earlier_question_do_not_stay(tmp_path, checkpoint):
    model, picture = checkpoint
    for name in ("mask.png", "mask_1.png", "mask_17.png", "mask_of_mine.png"):
        (tmp_path / name).write_bytes(b"old")
    arguments = ["--out", tmp_path, "--max-new-tokens", 1, *model]  # too short an answer for a mask
    assert run("ask", picture, "the red thing", *arguments) == 0
    assert json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))["targets"] == []
    assert [path.name for path in tmp_path.glob("mask*")] == ["mask_of_mine.png"]


def test_an_empty_mask_is_not_called_absence(capsys, tmp_path, checkpoint, monkeypatch):
    from lisa_ros import Lisa
    from lisa_ros.types import SegmentationResult, Target

    empty = np.zeros((97, 160), bool)
    found = SegmentationResult("x", "", (Target("mug", "segmented", empty), Target("cup", "absent", empty)))
    monkeypatch.setattr(Lisa, "segment", lambda *_, **__: found)
    model, picture = checkpoint
    assert run("ask", picture, "x", "--mask-only", "--out", tmp_path, *model) == 0
    mug, cup = capsys.readouterr().out.splitlines()[:2]
    assert mug.endswith("named, but its mask is empty") and cup.endswith("not in the image")


def test_what_an_answer_offers_is_written_beside_what_is_absent(capsys, tmp_path, checkpoint, monkeypatch):
    from lisa_ros import Lisa
    from lisa_ros.types import SegmentationResult, Target

    mask = np.zeros((97, 160), bool)
    phone = Target("the phone", "segmented", mask | (np.arange(160) < 9))
    laptop = Target("laptop", "absent", mask, correction="the phone", alternative=phone)
    result = SegmentationResult("x", "No laptop; did you mean the phone?", (laptop,))
    monkeypatch.setattr(Lisa, "segment", lambda *_, **__: result)
    model, picture = checkpoint
    assert run("ask", picture, "x", "--mask-only", "--out", tmp_path, *model) == 0
    printed = capsys.readouterr().out
    assert "not in the image; the answer offers the phone" in printed
    report = json.loads((tmp_path / "answer.json").read_text())
    assert report["union"] is None and not (tmp_path / "mask.png").exists()
    (target,) = report["targets"]
    assert (target["correction"], target["alternative"]) == ("the phone", "mask_1_alternative.png")
    assert (tmp_path / "mask_1_alternative.png").is_file() and "mask" not in target
    monkeypatch.setattr(Lisa, "segment", lambda *_, **__: SegmentationResult("x", "", ()))
    assert run("ask", picture, "x", "--mask-only", "--out", tmp_path, *model) == 0
    assert not list(tmp_path.glob("mask_1*"))


def test_the_candidate_that_was_chosen_is_written(tmp_path, checkpoint, monkeypatch):
    from lisa_ros import Lisa
    from lisa_ros.types import Candidate, SegmentationResult, Target

    mask = np.ones((97, 160), bool)
    targets = Target("mug", "segmented", mask, candidate=Candidate(0, 0.25)), Target("cup", "segmented", mask)
    monkeypatch.setattr(Lisa, "segment", lambda *_, **__: SegmentationResult("x", "", targets))
    model, picture = checkpoint
    assert run("ask", picture, "x", "--mask-only", "--out", tmp_path, *model) == 0
    chosen, drawn = json.loads((tmp_path / "answer.json").read_text())["targets"]
    assert chosen["candidate"] == {"index": 0, "score": 0.25} and "candidate" not in drawn


@pytest.mark.parametrize("name", ["answer.txt", "answer.json", "mask_1.png", "overlay.png"])
def test_a_result_that_cannot_be_written_is_named(capsys, tmp_path, checkpoint, name):
    model, picture = checkpoint
    (tmp_path / name).mkdir()
    assert run("ask", picture, "the red thing", "--mask-only", "--out", tmp_path, *model) == 2
    assert_one_line_error(capsys, "cannot write", str(tmp_path))


def test_mask_only_has_no_answer(tmp_path, checkpoint):
    model, picture = checkpoint
    assert run("ask", picture, "the red thing", "--mask-only", "--out", tmp_path, *model) == 0
    report = json.loads((tmp_path / "answer.json").read_text())
    assert report["answer"] == "" and "generate" not in report["seconds"]
    assert (tmp_path / "answer.txt").read_text() == "\n"


def test_eval_prints_a_table_and_writes_the_scores(capsys, tmp_path, checkpoint):
    model, _ = checkpoint
    scores = tmp_path / "new" / "scores.json"
    assert run("eval", "tabletop", "--split", "heldout", "--count", 1, "--queries", 2, "--json", scores, *model) == 0
    values = json.loads(scores.read_text())
    keys = {"n", "giou_present", "ciou_present", "refusal", "false_refusal", "answer_accuracy", "by_kind"}
    assert keys <= values.keys() and values["n"] == 2 and values["model"].startswith("lisa_hf")
    printed = capsys.readouterr().out
    assert "all present" in printed and all(kind in printed for kind in values["by_kind"])


def test_info_says_what_is_there(capsys, checkpoint):
    model, _ = checkpoint
    assert run("info", *model) == 0
    printed = capsys.readouterr().out
    for word in ("lisa_ros ", "torch ", "rclpy ", "tf2_ros", "cv_bridge", "bitsandbytes", "packaged models", "memory "):
        assert word in printed, word


def test_letters_that_the_terminal_lacks_are_escaped(tmp_path):
    """A folder's name stands in the output, as a model's words do."""
    words = [sys.executable, "-m", "lisa_ros", "record", "tabletop", "--frames", "1", "--queries", "1", "--out"]
    done = subprocess.run(
        [*words, str(tmp_path / "Aufnahme-für-später")], capture_output=True, timeout=100,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"Aufnahme-f\\xfcr-sp\\xe4ter" in done.stdout


def test_a_reader_that_has_gone_ends_the_run_quietly(tmp_path):
    code = (
        "import sys, types\nfrom lisa_ros import cli\n"
        "loud = types.ModuleType('loud'); loud.add_arguments = lambda parser: None\n"
        "loud.run = lambda args: [print('x' * 1000, flush=True) for _ in range(1000)] and 0\n"
        "sys.modules['loud'] = loud; cli.COMMANDS['loud'] = ('loud', 'speaks')\n"
        "sys.exit(cli.main(['loud']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline().startswith(b"xxx")
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (141, b"")
    process.stderr.close()


_PRINTS = """
import sys, types
from lisa_ros import cli
loud = types.ModuleType('loud'); loud.add_arguments = lambda parser: None
loud.run = lambda args: print('done') or 0
sys.modules['loud'] = loud; cli.COMMANDS['loud'] = ('loud', 'speaks')
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("target", "status", "told"), [
    ("&-", 0, b""), ("/dev/full", 2, b"lisa-ros: cannot write the output: No space left on device"),
])  # fmt: skip
def test_output_that_cannot_be_written_is_no_traceback(target, status, told):
    done = subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" loud >{target}', sys.executable, _PRINTS], stderr=subprocess.PIPE, timeout=60
    )
    assert (done.returncode, done.stderr.strip()) == (status, told)


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["loud", "--help"], ["loud"]])
def test_every_word_ends_quietly_where_nobody_reads(words):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", _PRINTS, *words], stdout=writing, stderr=subprocess.PIPE, timeout=60)
    os.close(writing)
    # argparse itself drops the help that it cannot write.
    assert (done.returncode, done.stderr) == (0 if "--help" in words else 141, b"")


def test_a_question_under_a_locale_without_its_letters(tmp_path, checkpoint):
    model, image = checkpoint
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = ["-m", "lisa_ros", "ask", image, "où est la tasse ?", "--mask-only", "--out", str(tmp_path), *model]
    done = subprocess.run([sys.executable, *words], capture_output=True, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))["query"] == "où est la tasse ?"
