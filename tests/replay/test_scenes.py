"""Many scenes: in one process, over two Ray workers, and with workers that are killed."""

import json
import os
import shutil
import sys
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lisa_ros.cli import main
from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.scannet.scene import read_scenes
from lisa_ros.evaluation.scans.rows import read_rows
from lisa_ros.scannet.scene_queries import read_queries, write_queries

pytestmark = pytest.mark.unit

RUNNER = Path(__file__).with_name("run_deadly_scenes.py")
# As on a machine of its own: Ray's workers are otherwise the last to get a core.
QUICK = {"RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}


def timeless(path):
    """The rows of a run, without what differs from run to run."""
    return [replace(row, seconds=None, stages={}) for row in read_rows(path)]


@pytest.fixture(scope="module")
def one_process(scenes_file, tmp_path_factory):
    """Exit status and folder of the packaged model on three scenes, without Ray."""
    out = tmp_path_factory.mktemp("one")
    return main(["eval", "scannet", "--scenes", str(scenes_file), "--boundary", "0", "--out", str(out)]), out


def test_scenes_are_scored_together_and_apart(one_process, scenes_file):
    status, out = one_process
    summary = json.loads((out / "summary.json").read_text())
    assert status == 0 and not summary["failed"] and not summary["damaged"]
    names = [line for line in scenes_file.read_text().splitlines() if not line.startswith("#")]
    assert list(summary["scenes"]) == names
    assert summary["scores"]["n"] == sum(part["n"] for part in summary["scenes"].values()) == 27
    assert summary["without_truth"] == 9, "the last frame of each has no pose"
    assert set(summary["baselines"]) == {"whole image", "centre box", "class-name oracle"}
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg") == 9 and all(name in page for name in names)


@pytest.mark.timeout(240)
def test_two_ray_workers_give_the_numbers_of_one_process(one_process, scenes_file, start_process, tmp_path):
    process = start_process(
        [sys.executable, "-m", "lisa_ros", "eval", "scannet", "--scenes", scenes_file, "--boundary", "0",
         "--out", tmp_path / "two", "--ray", "local", "--workers", "2"], **QUICK,
    )  # fmt: skip
    process.wait_for("2 workers on 1 machines", 120)
    assert listening_beyond_loopback("gcs_server", "raylet") == []
    assert process.wait(160) == 0, process.output
    one, two = (json.loads((out / "summary.json").read_text()) for out in (one_process[1], tmp_path / "two"))
    for part in ("scores", "baselines", "scenes"):
        assert without_seconds(two[part]) == without_seconds(one[part])
    assert two["weights"] == one["weights"]
    assert timeless(tmp_path / "two/rows.jsonl") == timeless(one_process[1] / "rows.jsonl")


def listening_beyond_loopback(*programs):
    """Programs of these names with a socket that other machines can reach; fails where none listens at all."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for words in map(str.split, Path("/proc/net", table).read_text().splitlines()[1:]):
            if words[3] == "0A":  # listening
                sockets[f"socket:[{words[9]}]"] = words[1].split(":")[0]
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is another user's
            name = (process / "comm").read_text().strip()
            links = [os.readlink(link) for link in (process / "fd").iterdir()] if name in programs else []
            found += [(name, sockets[link]) for link in links if link in sockets]
    assert found
    return [entry for entry in found if not entry[1].endswith("0100007F")]


def without_seconds(figures):
    """Times differ from run to run."""
    if not isinstance(figures, dict):
        return figures
    return {name: without_seconds(value) for name, value in figures.items() if not name.startswith("seconds")}


@pytest.mark.timeout(300)
def test_a_killed_worker_loses_no_scene_and_a_deadly_scene_does_not_stop_the_others(
    scenes_file, start_process, tmp_path
):
    scans = [tmp_path / name for name in scenes_file.read_text().splitlines()[1:]]
    for scan in scans:  # one question of each scan becomes its name, by which the model knows it
        shutil.copytree(scenes_file.parent / scan.name, scan)
        queries = read_queries(scan / "queries.jsonl")
        write_queries(scan / "queries.jsonl", [queries[0], replace(queries[1], text=scan.name), *queries[2:]])
    (tmp_path / "scenes.txt").write_text("".join(f"{scan}\n" for scan in scans))
    out = tmp_path / "out"
    process = start_process(
        [sys.executable, RUNNER, tmp_path / "scenes.txt", out, scans[0].name, scans[1].name], **QUICK
    )
    assert process.wait(280) == 1, process.output
    assert (out / "died").is_file(), "the worker was killed in the middle of the first scene"
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["scenes"]) == [scans[0].name, scans[2].name]
    assert {name: part["n"] for name, part in summary["scenes"].items()} == {scans[0].name: 9, scans[2].name: 9}
    assert list(summary["failed"]) == [scans[1].name] and "3 workers died" in summary["failed"][scans[1].name]
    assert f"a worker died at {scans[0].name} (time 1 of 3)" in process.output


def test_what_is_done_is_not_asked_again_and_another_evaluation_is_refused(one_process, scenes_file, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(one_process[1], out)
    first, second, third = (out / "scenes" / line for line in scenes_file.read_text().splitlines()[1:])
    shutil.rmtree(second)
    before = (first / "result.json").stat().st_mtime_ns, (third / "result.json").stat().st_mtime_ns
    arguments = ["eval", "scannet", "--scenes", str(scenes_file), "--boundary", "0", "--out", str(out)]
    assert main(arguments) == 0
    assert "2 of 3 scenes are done already" in capsys.readouterr().out
    assert before == ((first / "result.json").stat().st_mtime_ns, (third / "result.json").stat().st_mtime_ns)
    assert timeless(out / "rows.jsonl") == timeless(one_process[1] / "rows.jsonl")
    assert main([*arguments, "--mode", "teacher_forced"]) == 2
    assert "mode: 'generative', now 'teacher_forced'" in capsys.readouterr().err


def test_other_questions_than_those_of_a_result_are_refused(scenes_file, tmp_path, capsys):
    scan = tmp_path / scenes_file.read_text().splitlines()[1]
    shutil.copytree(scenes_file.parent / scan.name, scan)
    (tmp_path / "scenes.txt").write_text(f"{scan}\n")
    out = tmp_path / "out"
    asked = ["eval", "scannet", "--scenes", str(tmp_path / "scenes.txt"), "--boundary", "0", "--out", str(out)]
    assert main(asked) == 0
    queries = read_queries(scan / "queries.jsonl")
    write_queries(scan / "queries.jsonl", [replace(queries[0], text="something else"), *queries[1:]])
    assert main(asked) == 2
    assert f"queries.jsonl has changed since {scan.name} was evaluated" in capsys.readouterr().err
    shutil.rmtree(out / "scenes" / scan.name)
    assert main(asked) == 0
    assert "something else" in (out / "rows.jsonl").read_text()


def put_right(scan):
    """The cup is where the instance images had it by one pixel less."""
    archive = next(scan.glob("*_2d-instance-filt.zip"))
    with zipfile.ZipFile(archive) as zipped:
        images = {name: zipped.read(name) for name in zipped.namelist()}
    name = next(iter(images))
    pixels = cv2.imdecode(np.frombuffer(images[name], np.uint8), cv2.IMREAD_UNCHANGED)
    pixels[0, 0] = 0
    images[name] = cv2.imencode(".png", pixels)[1].tobytes()
    with zipfile.ZipFile(archive, "w") as zipped:
        for name, data in images.items():
            zipped.writestr(name, data)


def other_picture(scan):
    """Another byte in the first JPEG's comment would do as well."""
    sens = scan / f"{scan.name}.sens"
    content = bytearray(sens.read_bytes())
    content[content.index(b"\xff\xd8\xff") + 200] ^= 1
    sens.write_bytes(content)


def test_results_hold_for_what_they_were_scored_with(scenes_file, tmp_path, capsys):
    """Truth and pictures that changed since, and results that do not say what they were scored with."""
    scan = tmp_path / scenes_file.read_text().splitlines()[1]
    source, out = scenes_file.parent / scan.name, tmp_path / "out"
    shutil.copytree(source, scan)
    (tmp_path / "scenes.txt").write_text(f"{scan}\n")
    asked = ["eval", "scannet", "--scenes", str(tmp_path / "scenes.txt"), "--boundary", "0", "--out", str(out)]
    assert main(asked) == 0
    for change in (put_right, other_picture):
        change(scan)
        assert main(asked) == 2
        told = capsys.readouterr().err
        assert f"what is in {scan} has changed since {scan.name} was evaluated: remove {out}" in told
        shutil.rmtree(scan)
        shutil.copytree(source, scan)
    queries = scan / "queries.jsonl"
    more = read_queries(queries)[0]
    write_queries(queries, [*read_queries(queries), replace(more, scene="another")])
    assert main(asked) == 0  # questions about another scene are none of this one's
    result = out / "scenes" / scan.name / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"content": ""}))
    assert main(asked) == 2
    assert f"the result of {scan.name} is of an earlier version" in capsys.readouterr().err


def test_results_of_other_weights_do_not_pass_for_a_checkpoints_own(scenes_file, tmp_path, capsys):
    scan = scenes_file.parent / scenes_file.read_text().splitlines()[1]
    (tmp_path / "scenes.txt").write_text(f"{scan}\n")
    asked = ["eval", "scannet", "--scenes", str(tmp_path / "scenes.txt"), "--boundary", "0", "--out", str(tmp_path)]
    assert main(asked) == 0
    result = tmp_path / "scenes" / scan.name / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"weights": "of yesterday"}))
    assert main(asked) == 2
    assert f"the checkpoint has other weights now than when {scan.name} was evaluated" in capsys.readouterr().err


def test_a_first_try_that_scored_nothing_does_not_keep_the_folder(scenes_file, tmp_path, capsys):
    scan = scenes_file.parent / scenes_file.read_text().splitlines()[1]
    (tmp_path / "scenes.txt").write_text(f"{scan}\n")
    asked = ["eval", "scannet", "--scenes", str(tmp_path / "scenes.txt"), "--boundary", "0", "--out", str(tmp_path)]
    assert main([*asked, "--model", str(tmp_path / "mistyped")]) == 2
    assert main([*asked, "--queries", str(tmp_path / "none.jsonl")]) == 1
    assert main(asked) == 0
    capsys.readouterr()
    assert main([*asked, "--mode", "teacher_forced"]) == 2
    assert "belongs to another evaluation" in capsys.readouterr().err


def test_a_damaged_scene_and_damaged_frames_are_named_and_the_others_scored(scenes_file, tmp_path, capsys):
    first, second, third = (tmp_path / line for line in scenes_file.read_text().splitlines()[1:])
    for scan in (first, second, third):
        shutil.copytree(scenes_file.parent / scan.name, scan)
    sens = first / f"{first.name}.sens"
    os.truncate(sens, sens.stat().st_size // 2)
    pixels = second / f"{second.name}.sens"
    content = bytearray(pixels.read_bytes())
    at = content.index(b"\xff\xd8\xff")  # the first JPEG's beginning
    content[at : at + 3] = b"\0\0\0"
    pixels.write_bytes(content)
    (tmp_path / "scenes.txt").write_text("".join(f"{scan}\n" for scan in (first, second, third)))
    out = tmp_path / "out"
    assert (
        main(["eval", "scannet", "--scenes", str(tmp_path / "scenes.txt"), "--boundary", "0", "--out", str(out)]) == 1
    )
    summary = json.loads((out / "summary.json").read_text())
    assert "truncated" in summary["failed"][first.name] and list(summary["scenes"]) == [second.name, third.name]
    assert list(summary["damaged"][second.name]) == ["0"]
    assert summary["scenes"][second.name]["n"] == 6 and summary["scenes"][third.name]["n"] == 9
    told = capsys.readouterr().out
    assert f"FAILED: {first.name}" in told
    assert f"warning: {second.name}: 1 damaged frames were not asked about, as 0: " in told
    assert "truncated" in (out / "report.html").read_text()


def test_a_scene_without_a_frame_that_can_be_read_has_failed(scenes_file, tmp_path, capsys):
    scan = tmp_path / scenes_file.read_text().splitlines()[1]
    shutil.copytree(scenes_file.parent / scan.name, scan)
    pixels = scan / f"{scan.name}.sens"
    pixels.write_bytes(pixels.read_bytes().replace(b"\xff\xd8\xff", b"\0\0\0"))
    scenes = tmp_path / "scenes.txt"
    scenes.write_bytes(b"\xef\xbb\xbf" + f"{scan}\r\n".encode())  # as an editor on Windows writes it
    assert main(["eval", "scannet", "--scenes", str(scenes), "--out", str(tmp_path / "out")]) == 1
    failed = json.loads((tmp_path / "out" / "summary.json").read_text())["failed"][scan.name]
    assert failed.startswith("all 3 frames that are asked about are damaged, as 0: colour")
    assert f"FAILED: {scan.name}: all 3 frames" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("# none\n\n", "names no scene"),
        ("a/scene\nb/scene.sens\n", "line 2: the scene scene occurs twice"),
        (None, "cannot read"),
    ],
)
def test_a_scenes_file_that_cannot_be_used_is_told(content, words, tmp_path):
    path = tmp_path / "scenes.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=words):
        read_scenes(path)


def test_arguments_that_contradict_are_told(scenes_file, capsys):
    begin = ["eval", "scannet", "--scenes", str(scenes_file)]
    for more, words in (
        (["--workers", "2"], "--workers is of no use without --ray"),
        (["--ray", "local", "--device", "cuda:1"], "Ray picks the GPU"),
        (["--boundary", "-1"], "must be within 0..50 px"),
        (["--boundary", "999999"], "--boundary 999999 must be within 0..50 px"),
    ):
        assert main([*begin, *more]) == 2
        assert words in capsys.readouterr().err


def test_no_cluster_at_an_address_is_told(scenes_file, tmp_path, capsys):
    arguments = ["eval", "scannet", "--scenes", str(scenes_file), "--out", str(tmp_path), "--ray", "nonsense"]
    assert main(arguments) == 2
    assert "no Ray cluster at nonsense" in capsys.readouterr().err
