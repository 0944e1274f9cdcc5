"""Truth, rows and figures of a recording; no ROS."""

import csv
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lisa_ros.cli import main
from lisa_ros.errors import ConfigurationError, InvalidImageError, InvalidQueryError, RecordingError
from lisa_ros.evaluation.scans.baselines import baselines, named_categories
from lisa_ros.evaluation.scans.figures import protocol_figures
from lisa_ros.evaluation.scans.offline import run_offline
from lisa_ros.evaluation.scans.rows import NO_RESULT, ReplayAnswer, read_rows, write_rows, write_table
from lisa_ros.evaluation.scans.scan import Scan, ScanPaths
from lisa_ros.evaluation.scans.scoring import DecodedFrame, Scorer, read_mask
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.bag_writer import RgbdBagWriter
from lisa_ros.recordings.topics import RgbdTopics
from lisa_ros.replay.arguments import ARGUMENTS, options
from lisa_ros.replay.realtime import RealtimeFacts
from lisa_ros.replay.replay_summary import differences, exact_giou, realtime_figures
from lisa_ros.replay.truth_engine import TruthEngine, read_paths, write_paths
from lisa_ros.types import ABSENT, SEGMENTED, SegmentationResult, Target

pytestmark = pytest.mark.unit


@pytest.fixture
def scan(paths):
    with Scan(paths) as scan:
        yield scan


def answer(mask, text="it is that"):
    targets = () if mask is None else (Target("that", SEGMENTED, mask),)
    return ReplayAnswer(
        "OK" if targets else "NO_TARGET", result=SegmentationResult("?", text, targets, {"encode": 0.1})
    )


def all_rows(scan, say, protocol="lockstep", directory=None):
    scorer = Scorer(protocol, scan, directory)
    for case in scan.cases:
        scorer.add(case, say(case))
    return scorer.rows


def truth_of(scan):
    return lambda case: answer(scan.truth(case.query, case.frame).mask)


def test_cases_are_what_has_a_truth(scan):
    assert scan.frames == [0, 1, 2], "the pose of frame 3 is lost"
    assert scan.without_truth == 3 and len(scan.cases) == 9
    assert [case.frame for case in scan.cases] == sorted(case.frame for case in scan.cases)
    for case in scan.cases:
        truth = scan.truth(case.query, case.frame)
        assert truth.mask.shape == (144, 192)
        assert truth.mask.any() == bool(case.query.object_ids)


def test_an_absent_target_is_no_mask(scan):
    empty = np.zeros((144, 192), bool)

    def say(case):
        found = Target("that", SEGMENTED, scan.truth(case.query, case.frame).mask)
        targets = (Target("it", ABSENT, empty), found, Target("them", ABSENT, empty))
        return ReplayAnswer("OK", result=SegmentationResult("?", "", targets))

    rows = all_rows(scan, say)
    assert {row.masks for row in rows} == {1} and exact_giou(rows) == 1.0
    nothing = ReplayAnswer("NO_TARGET", result=SegmentationResult("?", "", (Target("it", ABSENT, empty),)))
    assert {(row.masks, row.found) for row in all_rows(scan, lambda _: nothing)} == {(0, False)}


def test_the_truth_scores_exactly_one(scan):
    rows = all_rows(scan, truth_of(scan))
    assert exact_giou(rows) == 1.0
    figures = protocol_figures(rows)
    assert figures["unanswered"] == 0 and figures["n_acc"] == 1 and figures["giou"] == pytest.approx(1, abs=1e-4)


def test_one_wrong_pixel_is_not_exact(scan):
    def almost(case):
        mask = scan.truth(case.query, case.frame).mask.copy()
        mask[0, 0] ^= True
        return answer(mask)

    assert exact_giou(all_rows(scan, almost)) < 1.0


@pytest.mark.parametrize("status", [NO_RESULT, "REJECTED", "NO_IMAGE", "MODEL_ERROR"])
def test_no_answer_counts_as_wrong_also_where_nothing_should_be_found(scan, status):
    rows = all_rows(scan, lambda case: ReplayAnswer(status, "why"))
    assert len(rows) == 9 and [row.iou for row in rows] == [0.0] * 9
    figures = protocol_figures(rows)
    assert figures["unanswered"] == 9 and figures["statuses"] == {status: 9}
    assert figures["giou"] == 0 and figures["n_acc"] == 0
    silent = all_rows(scan, lambda case: answer(None))
    assert [row.iou for row in silent if not row.present] == [1.0] * 3, "a refusal is an answer"


def test_differences_are_found_to_the_pixel(scan, tmp_path):
    same = all_rows(scan, truth_of(scan), "lockstep", tmp_path / "lockstep")

    def changed(case):
        mask = scan.truth(case.query, case.frame).mask.copy()
        if case == scan.cases[0]:
            mask[:2, :3] ^= True
        return answer(mask, "else" if case == scan.cases[1] else "it is that")

    other = all_rows(scan, changed, "offline", tmp_path / "offline")
    assert differences(same, same, tmp_path) == []
    found = differences(same, other, tmp_path)
    assert [(item["frame"], item["pixels"]) for item in found] == [(0, 6), (0, 0)]
    assert len(differences(same, other[1:], tmp_path)) == 2, "a case that one of them lacks is a difference"
    unanswered = all_rows(scan, lambda case: ReplayAnswer(NO_RESULT))
    assert len(differences(unanswered, unanswered, tmp_path)) == 9, "two silences are not equal masks"
    refused = all_rows(scan, lambda case: ReplayAnswer("REJECTED", "too long"))
    assert differences(refused, refused, tmp_path) == [], "both refuse the question"
    assert len(differences(refused, same, tmp_path)) == len(differences(same, refused, tmp_path)) == 9


def test_masks_of_an_earlier_run_do_not_stay(scan, tmp_path):
    rows = all_rows(scan, truth_of(scan), directory=tmp_path)
    row = next(row for row in rows if row.present)
    assert np.array_equal(read_mask(tmp_path, row), scan.truth(scan.queries[row.number], row.frame).mask)
    row = next(r for r in all_rows(scan, lambda case: answer(None), directory=tmp_path) if r.key == row.key)
    assert read_mask(tmp_path, row) is None


def test_rows_are_files_for_programs_and_tables(scan, tmp_path):
    rows = all_rows(scan, lambda case: answer(scan.truth(case.query, case.frame).mask, "it is\u2028that"))
    write_rows(tmp_path / "rows.jsonl", rows)
    assert read_rows(tmp_path / "rows.jsonl") == rows
    write_table(tmp_path / "rows.csv", rows)
    with (tmp_path / "rows.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(line["iou"]) for line in table] == [1.0] * 9
    assert [float(line["stage encode"]) for line in table] == [0.1] * 9
    json.dumps(protocol_figures(rows), allow_nan=False)
    for write in (write_rows, write_table):
        with pytest.raises(ConfigurationError, match="cannot write"):
            write(tmp_path / "none" / "rows", rows)


def test_stability_and_clouds_of_answers(scan):
    frames = {rgbd.index: DecodedFrame(rgbd) for rgbd in scan.bag.frames()}
    scorer = Scorer("lockstep", scan)
    for case in scan.cases:
        found = truth_of(scan)(case) if case.frame != 1 else answer(None)
        scorer.add(case, found, frames[case.frame])
    pairs = [row for row in scorer.rows if row.stability is not None]
    assert len(pairs) == 6 and {row.step for row in pairs} == {1}
    for row in pairs:
        assert row.stability == (0.0 if row.present else 1.0), "found, lost, found; and never found"
        assert row.stability_truth > 0.8


def test_figures_of_nothing_are_no_numbers():
    figures = realtime_figures([], RealtimeFacts())
    assert figures["n"] == 0 and figures["giou"] is None and figures["image_age"] == {"p50": None, "p95": None}
    json.dumps(figures, allow_nan=False)


def test_the_truth_engine_knows_frames_by_their_pixels_alone(scan, paths, tmp_path):
    write_paths(tmp_path / "truth.json", paths)
    engine = TruthEngine(SimpleNamespace(model=str(tmp_path / "truth.json")))
    for sens in scan.sens_frames({0, 2}):
        frame = engine.encode(sens.color())
        for query in scan.queries:
            result = engine.segment(frame, query.text)
            assert (result.union_mask is None) == (not query.object_ids)
            if query.object_ids:
                assert np.array_equal(result.union_mask, scan.truth(query, sens.index).mask)
    changed = sens.color()
    changed[5, 5, 0] ^= 1
    with pytest.raises(InvalidImageError, match="none of the 3 frames"):
        engine.encode(changed)
    with pytest.raises(InvalidQueryError, match="not asked"):
        engine.segment(frame, "the moon")
    with pytest.raises(ConfigurationError, match="recording"):
        TruthEngine(SimpleNamespace(model=str(paths.bag / "manifest.json")))


class Refusing:
    """An engine with which every question is a bad one."""

    def encode(self, image):
        return image

    def chat(self, frame, text, **_):
        raise InvalidQueryError("the query holds a token")


def test_baselines_and_a_refused_query_offline(scan):
    makers = baselines(scan)
    others = {name: (maker, Scorer(name, scan)) for name, maker in makers.items()}
    settings = SimpleNamespace(mode="chat", max_new_tokens=8)
    scorer = Scorer("offline", scan)
    run_offline(Refusing(), settings, scan, scorer, others)
    assert {row.status for row in scorer.rows} == {"REJECTED"}
    for case, row in zip(scan.cases, others["whole image"][1].rows, strict=True):
        share = scan.truth(case.query, case.frame).mask.mean()
        assert row.iou == pytest.approx(share)
    box = makers["centre box"](scan.cases[0], np.zeros((100, 200, 3), np.uint8))
    assert box.sum() == 50 * 100 and box[25:75, 50:150].all()
    for case, row in zip(scan.cases, others["class-name oracle"][1].rows, strict=True):
        if case.query.kind == "category":
            assert row.iou == 1.0


def test_categories_are_named_in_singular_and_plural():
    known = ["knife", "mug", "pan", "scissors", "office chair"]
    assert named_categories("Give me all the knives!", known) == ["knife"]
    assert named_categories("MUGS, and the office chair", known) == ["mug", "office chair"]
    assert named_categories("a panda with smugness", known) == []


def test_recordings_that_do_not_belong_together_are_refused(paths, write_lines, tmp_path):
    query = {"scene": "tabletop0002_00", "query_id": "a", "text": "the mug", "kind": "negative", "object_ids": []}
    again = write_lines([query, query | {"query_id": "b", "frames": [1]}])
    with pytest.raises(RecordingError, match="twice"):
        Scan(ScanPaths(paths.bag, again))
    with pytest.raises(RecordingError, match="'the mug' twice"):  # a model is asked without the blanks
        Scan(ScanPaths(paths.bag, write_lines([query, query | {"query_id": "b", "text": " the mug "}])))
    again = write_lines([query, query | {"query_id": "b", "frames": [1]}])
    nothing = write_lines([query | {"frames": [3]}])
    with pytest.raises(RecordingError, match="nothing about"):
        Scan(ScanPaths(paths.bag, nothing))
    with pytest.raises(RecordingError, match="there is no"):
        Scan(ScanPaths(paths.bag, again, scan=tmp_path / "else.sens"))


@pytest.mark.parametrize("where", [{"frames": [0, 4]}, {"window": [4, 9]}])
def test_a_query_about_a_frame_that_is_not_there_is_refused(where, paths, write_lines):
    query = {"scene": "tabletop0002_00", "query_id": "a", "text": "the mug", "kind": "negative", "object_ids": []}
    with pytest.raises(RecordingError, match="'a' asks about frame 4, but tabletop0002_00 has 4 frames"):
        Scan(ScanPaths(paths.bag, write_lines([query | where])))
    with Scan(ScanPaths(paths.bag, write_lines([query | {"window": [2, 9]}]))) as scan:  # may end later
        assert scan.frames == [2]


def test_a_bag_whose_stamps_do_not_tell_the_frame_is_refused(paths, tmp_path):
    """As one that a tool has stamped anew: its frames would be taken for others."""
    with RgbdBag(paths.bag) as bag, RgbdBagWriter(tmp_path / "bag", bag_camera(bag), bag_camera(bag)) as writer:
        for frame in bag.frames():
            image = frame.messages["image"].message
            writer.add(frame.stamp + 1, image.data.tobytes(), "jpeg", (frame.depth() * 1000).astype(np.uint16))
        writer.write_manifest(bag.manifest)
    queries = paths.bag.parent / "queries.jsonl"
    with pytest.raises(RecordingError, match="1000000001 ns is stamped otherwise"):
        Scan(ScanPaths(tmp_path / "bag", queries, scan=paths.bag.parent))


def test_depth_of_another_lens_is_refused_registered_or_trusted(paths, two_lenses, tmp_path):
    with pytest.raises(RecordingError, match=r"'depth_lens', the image of .*: --depth-registration register"):
        Scan(two_lenses)
    with RgbdBag(paths.bag) as bag:
        truth = next(bag.frames()).depth()
    chosen = options({"bag": str(two_lenses.bag), "depth_registration": "register", "boundary": "0"}).paths
    assert chosen == replace(two_lenses, depth_registration="register")
    write_paths(tmp_path / "truth.json", chosen)
    assert read_paths(tmp_path / "truth.json") == chosen
    with Scan(chosen) as scan:
        depth = DecodedFrame(next(scan.bag.frames())).view.depth
        both = (depth > 0) & (truth > 0)
        assert both.mean() > 0.8 and np.quantile(np.abs(depth - truth)[both], 0.95) < 0.004
    with Scan(replace(two_lenses, depth_registration="trust")) as scan:
        beside = DecodedFrame(next(scan.bag.frames())).view.depth
        assert np.mean(np.abs(beside - truth) > 0.004) > 0.1
    with pytest.raises(ConfigurationError, match="without a bag"):
        options({"depth_registration": "register"})
    with pytest.raises(ConfigurationError, match="depth_registration='maybe' is not one of refuse, register, trust"):
        Scan(replace(two_lenses, depth_registration="maybe"))


@pytest.mark.parametrize(("change", "words"), [
    (lambda manifest: manifest.pop("poses"), "does not list lost poses"),
    (lambda manifest: manifest.update(skipped=[1]), "does not list lost poses"),
    (lambda manifest: manifest.update(frames=5), "with 5 frames"),
])  # fmt: skip
def test_a_manifest_that_is_no_good_is_told(change, words, paths, tmp_path):
    shutil.copytree(paths.bag, tmp_path / "bag")
    manifest = json.loads((paths.bag / "manifest.json").read_text())
    change(manifest)
    (tmp_path / "bag" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RecordingError, match=words):
        Scan(ScanPaths(tmp_path / "bag", paths.bag.parent / "queries.jsonl", scan=paths.bag.parent))
    (tmp_path / "bag" / "manifest.json").write_text("[1]")
    with pytest.raises(RecordingError, match="not a manifest"):
        RgbdBag(tmp_path / "bag")


def bag_camera(bag):
    return next(bag.frames()).camera


def test_words_become_options(paths, tmp_path):
    chosen = options({"bag": str(paths.bag), "boundary": "2", "timeout": "7.5", "model": "m", "out": str(tmp_path)})
    assert chosen.paths == ScanPaths(paths.bag, boundary=2) and chosen.timeout == 7.5
    assert chosen.values["model"] == "m" and chosen.values["params_file"] == "perception"
    named = options({"bag": str(paths.bag), "image_topic": "/front/image", "out": str(tmp_path)}).paths
    assert named.topics == RgbdTopics(image="/front/image")
    write_paths(tmp_path / "truth.json", named)
    assert read_paths(tmp_path / "truth.json").topics == named.topics
    for name, word, match in [
        ("boundary", "x", "boundary=x"),
        ("boundary", "51", r"boundary=51 must be within 0\.\.50 px"),
        ("timeout", "0", "timeout=0"),
        ("sam", "x", "only sam"),
    ]:
        with pytest.raises(ConfigurationError, match=match):
            options({"bag": str(paths.bag), name: word})
    with pytest.raises(ConfigurationError, match="without a bag"):
        options({"queries": "q.jsonl", "out": str(tmp_path)})
    with pytest.raises(ConfigurationError, match="image_topic=/x without a bag"):
        options({"image_topic": "/x", "out": str(tmp_path)})


def test_the_command_takes_the_launch_arguments(capsys):
    with pytest.raises(SystemExit):
        main(["eval", "bag", "--help"])
    words = capsys.readouterr().out
    assert all(a.name == "bag" or f"--{a.name.replace('_', '-')}" in words for a in ARGUMENTS)


def test_launch_file_declares_the_same_arguments():
    pytest.importorskip("launch_ros", reason="launch is part of a ROS install")
    from pathlib import Path

    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    path = Path(__file__).parents[2] / "launch" / "evaluation.launch.py"
    declared = get_launch_description_from_python_launch_file(str(path)).get_launch_arguments()
    assert {argument.name: argument.description for argument in declared} == {a.name: a.about for a in ARGUMENTS}
