"""The demo: its questions, its scores, its page, and the real graph with a known answerer in the model's place."""

import json
import re
import signal
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lisa_ros.client import PerceptionResult, PerceptionTarget, PointCloud, QueryStatus
from lisa_ros.client.graph_client import TimedResult
from lisa_ros.demo.clouds import draw_cloud, write_ply
from lisa_ros.demo.page import page, picture, write_report
from lisa_ros.demo.questions import choose_scenes
from lisa_ros.demo.records import mean_iou_present, score, shortcomings, summary
from lisa_ros.errors import ConfigurationError
from lisa_ros.types import ABSENT, SEGMENTED

KINDS = {"category", "attribute", "affordance", "knowledge", "relation", "superlative", "group", "absent"}
PHRASE_KINDS = ["exclusion", "one_absent", "false_premise"]
RUNNER = Path(__file__).with_name("run_oracle_demo.py")


@pytest.fixture(scope="module")
def scenes():
    return list(choose_scenes())


def timed(query, targets, status="OK", answer="It is <b>that</b>."):
    """A result as the node gives it."""
    result = PerceptionResult(
        query=query.text,
        answer=answer,
        targets=targets,
        seconds={"encode": 0.1},
        status=QueryStatus[status],
        message="",
        query_id="q",
        conversation_id="",
        stamp=1,
        frame_id="camera",
        received=1,
        image_age=0.0,
        model="tiny fp32",
    )
    return TimedResult(result, 0.5, None)


def found(phrase, kind, mask):
    return PerceptionTarget(phrase=phrase, kind=kind, mask=mask, components=1, touches_border=False, location=None)


def answered(scene, query, mask=None, **options):
    """A record of a result with one mask, or none."""
    targets = () if mask is None else (found(query.phrases[0], SEGMENTED, mask),)
    return score(1, "topic", query, scene, timed(query, targets, **options))


class Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.unit
def test_questions_cover_every_kind_and_the_bread(scenes):
    queries = [query for scene in scenes for query in scene.queries]
    assert len(queries) >= 8 and {query.kind for query in queries} == {*KINDS, *PHRASE_KINDS}
    assert len({query.text for query in queries}) == len(queries)
    bread = queries[0]
    assert bread.text == "Hand me something to cut the bread with"
    assert scenes[0].scene.objects[bread.target_ids[0] - 1].category == "knife"
    for scene in scenes:
        for query in scene.queries:
            assert all(scene.scene.mask(index).any() for index in query.target_ids)


@pytest.mark.unit
def test_questions_of_phrases_name_what_is_there_and_what_is_not(scenes):
    scene, queries = scenes[-1].scene, scenes[-1].queries
    assert [query.kind for query in queries] == PHRASE_KINDS
    names = {id: item.category for id, item in enumerate(scene.objects, start=1)}
    for query in queries:
        assert tuple(id for id in query.asked_ids if id is not None) == query.target_ids
        for phrase, id in zip(query.asked, query.asked_ids, strict=True):
            noun = phrase.removeprefix("the ")
            if id is None:
                assert noun not in {f"{item.colour} {item.category}" for item in scene.objects}
                assert noun not in names.values() and noun in query.text
            else:
                assert names[id] == noun and list(names.values()).count(noun) == 1
    exclusion, one_absent, premise = queries
    excluded = exclusion.text.split("not the ")[1]
    assert excluded in names.values() and f"the {excluded}" not in exclusion.asked
    assert None not in exclusion.asked_ids
    assert one_absent.asked_ids.count(None) == premise.asked_ids.count(None) == 1
    assert premise.asked[0].endswith(f" {premise.asked[1].removeprefix('the ')}")  # the same thing in a false colour


@pytest.mark.unit
def test_each_phrase_is_scored_by_itself(scenes):
    scene, query = scenes[-1].scene, scenes[-1].queries[1]
    there = scene.mask(*query.target_ids)
    empty = np.zeros_like(there)

    def record(*targets, **options):
        return score(13, "action", query, scene, timed(query, targets, **options))

    good = record(found(query.asked[0], SEGMENTED, there), found(query.asked[1], ABSENT, empty), answer="")
    assert [(one.present, one.found, round(one.iou, 2)) for one in good.outcomes] == [
        (True, True, 1),
        (False, False, 1),
    ]
    assert good.iou == pytest.approx(1, abs=1e-3) and shortcomings([good]) == []
    invented = record(found(query.asked[0], SEGMENTED, there), found(query.asked[1], SEGMENTED, ~there), answer="")
    assert [(one.found, round(one.iou, 2)) for one in invented.outcomes] == [(True, 1), (True, 0)]
    assert invented.iou < 0.1
    swapped = record(found(query.asked[1], ABSENT, empty), found(query.asked[0], SEGMENTED, there))
    assert swapped.outcomes == () and "about other things" in shortcomings([swapped])[0]
    missing = score(14, "action", query, scene, None, "none came")
    content = summary([good, invented, missing], 3.0)
    assert (content["phrases_right"], content["phrases_asked"]) == (3, 6)
    assert content["queries"][0]["told"] == f"{query.asked[0]}: found; {query.asked[1]}: not in the image"
    html = page(content)
    assert Links(html).open == [] and "<b>3 of 6</b>phrases told rightly" in html
    assert html.count('class="bad">there') == 1
    assert picture(good).shape[2] == 3


@pytest.mark.unit
def test_the_same_questions_every_time(scenes):
    again = list(choose_scenes())
    assert [scene.seed for scene in again] == [scene.seed for scene in scenes]
    assert [scene.queries for scene in again] == [scene.queries for scene in scenes]


@pytest.mark.unit
def test_scores_follow_the_truth_of_the_segmented_image(scenes):
    scene = scenes[0].scene
    present, absent = scenes[0].queries[0], scenes[0].queries[-1]
    truth = scene.mask(*present.target_ids)
    assert answered(scene, present, truth).iou == pytest.approx(1, abs=1e-3)
    assert answered(scene, present, ~truth).iou == 0
    assert answered(scene, present).iou == 0
    assert answered(scene, absent, status="NO_TARGET").iou == 1
    assert answered(scene, absent, truth).iou == 0
    assert answered(scene, present, truth, status="MODEL_ERROR").iou == 0
    named = found("ball", ABSENT, np.zeros((0, 0), bool))  # a message without masks has no size
    record = score(1, "topic", absent, scene, timed(absent, (named,), "NO_TARGET", "There is no ball."))
    assert record.iou == 1


@pytest.mark.unit
def test_a_demo_fails_for_missing_results_and_for_bad_masks(scenes):
    scene, query, absent = scenes[0].scene, scenes[0].queries[0], scenes[0].queries[-1]
    good = answered(scene, query, scene.mask(*query.target_ids))
    assert shortcomings([good, answered(scene, absent, status="NO_TARGET")]) == []
    missing = score(2, "action", query, scene, None, "waited 120 s in vain for a result")
    assert "in vain" in shortcomings([good, good, good, missing])[0]
    assert "MODEL_ERROR" in shortcomings([good, good, answered(scene, query, status="MODEL_ERROR")])[0]
    poor = [good, answered(scene, query), answered(scene, query)]
    assert mean_iou_present(poor) == pytest.approx(1 / 3, abs=1e-3)
    assert "0.33" in shortcomings(poor)[0]
    assert mean_iou_present([]) == 0


@pytest.mark.unit
def test_the_page_is_well_formed_and_escapes_what_others_wrote(scenes):
    scene, query = scenes[0].scene, replace(scenes[0].queries[0], text='<script>alert("x")</script> & more')
    missing = score(2, "action", query, scene, None, "<nothing> came")
    content = summary([answered(scene, query, scene.mask(*query.target_ids)), missing], 12.0)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    html = page(content)
    links = Links(html)
    assert links.open == [] and "<script" not in html and "<nothing>" not in html and "<b>that" not in html
    assert not [link for link in links.links if re.match(r"[a-z]+:|/", link)]
    assert picture(missing).shape == picture(answered(scene, query)).shape


@pytest.mark.unit
def test_only_what_answers_the_question_is_counted_as_an_answer(scenes):
    scene, query, absent = scenes[0].scene, scenes[0].queries[0], scenes[0].queries[-1]
    missing = score(4, "action", query, scene, None, "<nothing> came")
    failed = answered(scene, query, status="MODEL_ERROR")
    content = summary([answered(scene, query), answered(scene, absent, status="NO_TARGET"), failed, missing], 12.0)
    assert "<b>2 of 4</b>questions answered" in page(content)


@pytest.mark.unit
def test_clouds_of_an_earlier_demo_do_not_stay(scenes, tmp_path):
    record = answered(scenes[0].scene, scenes[0].queries[0])
    for name in (f"{record.name}.ply", f"{record.name}_cloud.png"):
        (tmp_path / name).write_bytes(b"of an earlier run")
    content = write_report(tmp_path, [record], 1.0, lambda _: None)
    assert content["queries"][0]["cloud"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{record.name}.png", "index.html", "summary.json"]
    (tmp_path / "index.html").unlink()
    (tmp_path / "index.html").mkdir()
    with pytest.raises(ConfigurationError, match=r"cannot write .*index\.html"):
        write_report(tmp_path, [record], 1.0, lambda _: None)


@pytest.mark.unit
def test_a_cloud_is_written_for_programs_and_for_people(scenes, tmp_path):
    import open3d

    rng = np.random.default_rng(0)
    points = rng.uniform(-0.05, 0.05, (500, 3)).astype(np.float32) + np.float32([0, 0, 0.8])
    colors = rng.integers(0, 256, (500, 3)).astype(np.uint8)
    write_ply(tmp_path / "a.ply", points, colors)
    read = open3d.io.read_point_cloud(str(tmp_path / "a.ply"))
    np.testing.assert_allclose(np.asarray(read.points), points, atol=1e-6)
    np.testing.assert_array_equal(np.rint(np.asarray(read.colors) * 255), colors)
    box = SimpleNamespace(pose=np.eye(4), extents=np.array([0.1, 0.1, 0.1]))
    cloud, scene_cloud = PointCloud("camera", points, colors), PointCloud("camera", points + 0.1, colors)
    draw_cloud(tmp_path / "a.png", cloud, scene_cloud, [box], scenes[0].scene.camera_pose)
    assert (np.array(Image.open(tmp_path / "a.png").convert("RGB")) != 255).any()


@pytest.fixture
def demo(start_process, tmp_path):
    """demo(manner) starts the whole demo on one scene; its report goes to tmp_path."""
    return lambda manner: start_process([sys.executable, str(RUNNER), tmp_path, manner])


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.ros
@pytest.mark.timeout(240)
def test_the_whole_graph_answers_by_topic_and_action(demo, tmp_path):
    process = demo("oracle")
    assert process.wait(200) == 0, process.output
    content = json.loads((tmp_path / "summary.json").read_text())
    assert content["passed"] and content["mean_iou_present"] > 0.7
    assert content["absent_refused"] == content["absent"] == 1
    assert content["phrases_right"] == content["phrases_asked"] == 6
    assert [entry["kind"] for entry in content["queries"] if entry["phrases"]] == PHRASE_KINDS
    assert {entry["via"] for entry in content["queries"]} == {"topic", "action"}
    assert content["model"].startswith("oracle")
    for entry in content["queries"]:
        assert entry["status"] == ("OK" if entry["present"] else "NO_TARGET")
        assert entry["seconds"] > 0 and entry["told"]
        assert bool(entry["cloud"]) == entry["present"]
    for link in Links((tmp_path / "index.html").read_text()).links:
        assert link.startswith("#") or (tmp_path / link).stat().st_size > 0


@pytest.mark.ros
@pytest.mark.timeout(240)
def test_a_dying_node_ends_the_demo_at_once_with_its_last_words(demo):
    process = demo("dies")
    assert process.wait(120) == 1
    assert "GraphEndedError: the process perception ended with status 7" in process.output
    assert "loading 'dies'" in process.output


@pytest.mark.ros
@pytest.mark.timeout(240)
def test_a_terminated_demo_leaves_no_process(demo):
    process = demo("oracle")
    process.wait_for("the camera shows", 120)
    end = time.monotonic() + 60  # the camera is started after that line
    while len(started := children(process.pid)) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    assert len(started) == 2
    process.signal(signal.SIGTERM)
    assert process.wait(30) != 0
    end = time.monotonic() + 10  # a process that outlives its parent is told by the kernel, a moment later
    while (left := [pid for pid in started if Path(f"/proc/{pid}").exists()]) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left
