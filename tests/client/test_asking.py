"""A stand-alone client and a real node with the scripted engine: results, options, feedback, cancel, timeouts."""

import threading
import time

import numpy as np
import pytest
from lisa_ros.msg import SegmentationResult
from node_harness import picture

from lisa_ros.client import PerceptionClient, QueryStage, QueryStatus
from lisa_ros.errors import (
    ClientClosedError,
    ConfigurationError,
    GoalRejectedError,
    QueryTimeoutError,
    ServerUnavailableError,
)
from lisa_ros.types import ABSENT, SEGMENTED

pytestmark = pytest.mark.ros
STAGES = [stage for stage in QueryStage if stage is not QueryStage.FOLLOWING]  # of a goal that is not followed


@pytest.fixture
def published(node):
    """published(text) are the results on the node's topic for a text, after a moment for late ones."""
    camera = node[2]
    camera.results.clear()

    def of(text, count=1):
        camera.until(lambda: len(camera.results_of(text)) >= count, 10)
        camera.spin(0.5)
        return camera.results_of(text)

    return of


def test_a_result_has_masks_boxes_and_clouds(lisa, node):
    result = lisa.ask("red and blue and green", timeout=20)
    assert result.status is QueryStatus.OK and result.status.has_masks and result.message == ""
    assert (result.query, result.answer.split(": ")[1]) == ("red and blue and green", "red green blue")
    assert [(target.phrase, target.kind) for target in result.targets] == [
        ("red", SEGMENTED),
        ("green", ABSENT),
        ("blue", SEGMENTED),
    ]
    red, green, blue = result.targets
    expected = np.zeros((120, 160), bool)
    expected[30:70, 40:80] = True
    np.testing.assert_array_equal(red.mask, expected)
    assert green.mask.shape == (120, 160) and not green.mask.any() and green.location is None
    assert red.mean_probability == pytest.approx(0.98) and red.components == 1 and not red.touches_border
    np.testing.assert_array_equal(result.union_mask, red.mask | blue.mask)
    assert result.stamp in node[2].stamps and result.frame_id == "camera"
    assert 0 <= result.image_age < 20 and result.received >= result.stamp
    assert result.model == "tabletop fp32 scripted"
    assert result.query_id and {"encode", "generate"} <= set(result.seconds)

    assert result.cloud.frame_id == red.location.frame_id == "camera"
    assert result.cloud.points.dtype == np.float32 and result.cloud.colors.dtype == np.uint8
    assert set(result.cloud.targets.tolist()) == {0, 2}
    points = result.cloud.of_target(0)
    assert len(points.points) == red.location.point_count
    np.testing.assert_allclose(points.points[:, 2], 0.9, atol=0.02)
    np.testing.assert_array_equal(np.median(points.colors, axis=0), (220, 30, 30))
    np.testing.assert_allclose(red.location.centroid, points.points.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(red.location.pose[:3, :3] @ red.location.pose[:3, :3].T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(red.location.extents, (0.24, 0.24, 0.0), atol=0.02)
    assert np.median(result.scene_cloud.points[:, 2]) == pytest.approx(1.0, abs=0.02)
    with pytest.raises(ValueError, match="belong to no target"):
        result.scene_cloud.of_target(0)


def test_two_queries_about_one_image_get_each_its_own_clouds(lisa, node):
    lisa.ask("red", timeout=20)
    stamp = node[2].stamps[-3]
    handles = [lisa.ask_async(words, timeout=30, image_stamp=stamp) for words in ("red", "blue", "red and blue", "red")]
    counts = []
    for handle in handles:
        result = handle.result()
        assert result.stamp == stamp and result.status is QueryStatus.OK, result.message
        counts.append([len(result.cloud.of_target(index).points) for index in range(len(result.targets))])
        colour = np.median(result.cloud.of_target(0).colors, axis=0)
        assert colour.argmax() == (2 if handle.query == "blue" else 0)
        # what was asked about is no obstacle; the other square, which stands 10 cm before the wall, is one
        others = result.scene_cloud.points[result.scene_cloud.points[:, 2] < 0.95]
        assert bool(len(others)) == (handle.query != "red and blue")
        if len(others):
            assert (others[:, 0].mean() < 0) == (handle.query == "blue")
    assert counts[0] == counts[3] and counts[2] == counts[0] + counts[1]


def test_nothing_found_is_a_result(lisa):
    result = lisa.ask("tell me something", timeout=20)
    assert result.status is QueryStatus.NO_TARGET and not result.status.has_masks
    assert result.targets == () and result.union_mask is None and result.cloud is None
    assert result.answer.startswith("Frame")


def test_phrases_are_found_or_absent_each_with_its_own_mask_and_cloud(lisa):
    result = lisa.ask(phrases=["the blue square", "the green square", "the red square"], timeout=20)
    assert result.status is QueryStatus.OK and result.query == "the blue square, the green square, the red square"
    blue, green, red = result.targets
    assert [(one.phrase, one.kind, one.probability) for one in result.targets] == [
        ("the blue square", SEGMENTED, 0.875),
        ("the green square", ABSENT, 0.125),
        ("the red square", SEGMENTED, 0.875),
    ]
    assert green.location is None and not green.mask.any() and not len(result.cloud.of_target(1).points)
    assert (green.correction, green.alternative.phrase) == ("the red square", "the red square")
    np.testing.assert_array_equal(green.alternative.mask, red.mask)
    np.testing.assert_array_equal(result.union_mask, red.mask | blue.mask)
    for index, target in ((0, blue), (2, red)):
        assert len(result.cloud.of_target(index).points) == target.location.point_count > 100
    both = lisa.ask("red", phrases=["blue"], timeout=20)
    assert both.status is QueryStatus.REJECTED and "query='red' does not go with phrases" in both.message
    handle = lisa.ask_async(phrases=["green"], timeout=20)
    assert handle.query == "green" and handle.result().status is QueryStatus.NO_TARGET
    assert handle.result().message == handle.result().absence == "not in the image: green (perhaps the red square)"


@pytest.mark.parametrize(
    ("words", "status"),
    [("oom", QueryStatus.OUT_OF_MEMORY), ("crash", QueryStatus.MODEL_ERROR), ("refuse", QueryStatus.REJECTED)],
)
def test_failures_of_the_model_are_results(lisa, words, status):
    result = lisa.ask(words, timeout=20)
    assert result.status is status and result.message


def test_options_reach_the_node(lisa, node):
    assert "limit 7" in lisa.ask("limit", timeout=20, max_new_tokens=7).answer
    assert lisa.ask("red", timeout=20, mode="mask").answer == ""
    assert lisa.ask("red", timeout=20, with_cloud=False).targets[0].location is None
    assert lisa.ask("red", timeout=20, target_frame="nowhere").status is QueryStatus.NO_TRANSFORM
    region = lisa.ask("red", timeout=20, region=(40, 30, 20, 20))
    assert region.targets[0].mask.sum() == 400 and region.targets[0].touches_border
    outside = lisa.ask("red", timeout=20, region=(150, 0, 20, 20))
    assert outside.status is QueryStatus.REJECTED and "region" in outside.message
    fine = lisa.ask("red", timeout=20, cloud={"voxel_size": 0.05}).targets[0].location.point_count
    assert fine < lisa.ask("red", timeout=20).targets[0].location.point_count
    assert lisa.ask("red", timeout=20, cloud={"voxel_sise": 0.1}).status is QueryStatus.REJECTED
    first = lisa.ask("red", timeout=20, conversation_id="talk")
    second = lisa.ask("blue", timeout=20, conversation_id="talk")
    assert second.answer.startswith("turn 2") and second.stamp == first.stamp and second.conversation_id == "talk"
    assert lisa.ask("red", timeout=20, image_stamp=1).status is QueryStatus.NO_IMAGE


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": True},
        {"mode": "masks"},
        {"max_new_tokens": -1},
        {"max_new_tokens": 2**32},
        {"max_new_tokens": 1.5},
        {"region": (1, 2, 3)},
        {"region": (0, 0, 0, 10)},
        {"region": (-1, 0, 10, 10)},
        {"image_stamp": -1},
        {"image_stamp": 1.5},
        {"target_frame": None},
        {"cloud": {"voxel_size": object()}},
        {"cloud": {3: 0.1}},
    ],
)
def test_options_that_do_not_fit_are_refused_at_once(lisa, options):
    name = next(iter(options))
    with pytest.raises(ConfigurationError, match=name):
        lisa.ask("red", **options)


def test_words_must_be_text_and_the_node_says_what_is_wrong_with_them(lisa):
    with pytest.raises(ConfigurationError, match="query is 7"):
        lisa.ask(7)
    result = lisa.ask("", timeout=20)
    assert result.status is QueryStatus.REJECTED and "empty" in result.message


def test_feedback_as_callback_and_as_iterator(lisa):
    seen, threads = [], set()

    def on_feedback(feedback):
        seen.append(feedback)
        threads.add(threading.get_ident())

    result = lisa.ask("talk 20 red", timeout=20, on_feedback=on_feedback)
    assert threads == {threading.get_ident()}
    handle = lisa.ask_async("talk 20 red", timeout=20)
    iterated = list(handle)
    for feedback, answer in ((seen, result.answer), (iterated, handle.result().answer)):
        stages = [one.stage for one in feedback]
        assert stages == sorted(stages) and set(stages) == set(STAGES)
        assert "".join(one.delta for one in feedback).strip() == answer
        assert len([one for one in feedback if one.delta]) > 3 and feedback[-1].masks == 1
    assert list(handle) == iterated, "whoever comes late gets all of it"


def test_what_a_feedback_callback_raises_ends_the_query(lisa, published):
    def on_feedback(feedback):
        if feedback.delta:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        lisa.ask("talk 400 red, raised here", timeout=20, on_feedback=on_feedback)
    with pytest.raises(KeyError, match="mine"):
        lisa.ask_async("talk 400 red, raised there", timeout=20, on_feedback=on_feedback).result()
    for text in ("talk 400 red, raised here", "talk 400 red, raised there"):
        assert [result.status for result in published(text)] == [SegmentationResult.CANCELLED]
    assert lisa.ask("red", timeout=20).status is QueryStatus.OK


def test_a_timeout_cancels_the_goal_and_the_client_goes_on(lisa, published):
    started = time.monotonic()
    with pytest.raises(QueryTimeoutError, match=r"0\.8 s.*GENERATING.*cancelled"):
        lisa.ask("sleep 9 red, too long", timeout=0.8)
    assert time.monotonic() - started < 3
    with pytest.raises(TimeoutError):
        lisa.ask("sleep 9 red, too long", timeout=0.3)
    assert lisa.ask("red", timeout=20).status is QueryStatus.OK
    assert [result.status for result in published("sleep 9 red, too long", 2)] == [SegmentationResult.CANCELLED] * 2


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_at_each_stage(lisa, published, stage):
    text = f"sleep 1 talk 30 red, cancelled at {stage.name}"
    blocker = lisa.ask_async("sleep 2 blue", timeout=20) if stage is QueryStage.QUEUED else None
    seen = []
    handle = lisa.ask_async(text, timeout=30, on_feedback=seen.append)
    for feedback in handle:
        if feedback.stage is stage:
            break
    handle.cancel()
    count = len(seen)
    result = handle.result()
    assert result.status is QueryStatus.CANCELLED or stage in (QueryStage.MASK, QueryStage.CLOUD), result.message
    assert len(seen) == count, "no feedback after cancel"
    assert [one.status for one in published(text)] == [result.status]
    if blocker is not None:
        assert blocker.result().status is QueryStatus.OK
    handle.cancel()  # of what is done: nothing happens
    assert handle.result() == result


def test_cancel_before_anything_is_sent(lisa, node):
    handle = lisa.ask_async("sleep 5 red, never mind", timeout=20)
    handle.cancel()
    assert handle.result().status is QueryStatus.CANCELLED
    with PerceptionClient("/nobody", discovery_timeout=20) as client:
        handle = client.ask_async("red", timeout=20)
        handle.cancel()
        result = handle.result()
        assert result.status is QueryStatus.CANCELLED and "before it was sent" in result.message


def test_many_queries_of_many_threads_and_two_clients(lisa, node):
    texts = [f"red number {number}" if number % 2 else f"blue number {number}" for number in range(12)]
    results = {}
    with PerceptionClient(node[1], clouds="none", discovery_timeout=60) as other:

        def ask(client, text):
            results[text] = client.ask(text, timeout=60)

        threads = [
            threading.Thread(target=ask, args=(client, text))
            for client, mine in ((lisa, texts[:6]), (other, texts[6:]))
            for text in mine
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(results) == sorted(texts)
    for text, result in results.items():
        assert result.query == text and result.status is QueryStatus.OK
        assert result.targets[0].phrase == text.split()[0]
        assert (result.cloud is not None) == (text in texts[:6])
    assert len({result.query_id for result in results.values()}) == len(texts)


def test_a_full_queue_rejects_the_goal(start_node):
    _, namespace, _ = start_node(queue_size=1)
    with PerceptionClient(namespace, discovery_timeout=60) as client:
        running = client.ask_async("sleep 2 red", timeout=30)
        next(feedback for feedback in running if feedback.stage is QueryStage.GENERATING)
        waiting = client.ask_async("red", timeout=30)
        next(iter(waiting))
        with pytest.raises(GoalRejectedError, match="queue_size"):
            client.ask("blue", timeout=30)
        assert running.result().status is QueryStatus.OK and waiting.result().status is QueryStatus.OK


def test_a_node_that_is_not_there(lisa, node):
    with PerceptionClient("/nobody", discovery_timeout=3) as client:
        started = time.monotonic()
        with pytest.raises(ServerUnavailableError, match=rf"/nobody/segment; there is .*{node[1]}/segment"):
            client.ask("red", timeout=20)
        assert 2 < time.monotonic() - started < 8
        with pytest.raises(ServerUnavailableError, match="/nobody/segment"):
            client.wait_for_server(0.5)
    lisa.wait_for_server(5)


@pytest.mark.parametrize("name", ["li sa", "1lisa", "/a/{b}"])
def test_names_that_are_none(name):
    with pytest.raises(ConfigurationError, match="name is"):
        PerceptionClient(name)


def test_a_burst_is_answered_or_rejected_query_by_query(start_node):
    """More queries at once than DDS keeps requests by default: none of them is lost on its way."""
    _, namespace, _ = start_node(queue_size=4)
    with PerceptionClient(namespace, clouds="none", discovery_timeout=30) as client:
        handles = [client.ask_async(f"red sleep 0.1 of {number}", timeout=20, with_cloud=False) for number in range(60)]
        outcomes = []
        for handle in handles:
            try:
                outcomes.append(handle.result().status)
            except GoalRejectedError:
                outcomes.append(None)
    assert set(outcomes) == {QueryStatus.OK, None} and outcomes.count(None) > 20


def test_closing_ends_what_is_pending(node, published):
    client = PerceptionClient(node[1], discovery_timeout=60)
    handle = client.ask_async("sleep 9 red, closed", timeout=30)
    next(feedback for feedback in handle if feedback.stage is QueryStage.GENERATING)
    threads = threading.active_count()
    client.close()
    with pytest.raises(ClientClosedError):
        handle.result()
    with pytest.raises(ClientClosedError):
        client.ask("red")
    client.close()
    assert threading.active_count() < threads
    assert [result.status for result in published("sleep 9 red, closed")] == [SegmentationResult.CANCELLED]


def test_large_images(node, lisa):
    height, width = 720, 1280
    image, depth = np.full((height, width, 3), 90, np.uint8), np.full((height, width), 1000, np.uint16)
    image[200:600, 300:900], depth[200:600, 300:900] = (220, 30, 30), 900
    node[2].change(image=image, depth=depth)
    try:
        end = time.monotonic() + 60
        while (result := lisa.ask("red", timeout=30)).union_mask is None or len(result.union_mask) != height:
            assert time.monotonic() < end, result.message
    finally:
        node[2].change(image=picture())
    assert result.targets[0].mask.shape == (height, width) and result.targets[0].mask.sum() == 400 * 600
    np.testing.assert_array_equal(result.targets[0].mask, (image[..., 0] > 150))
    assert len(result.cloud.points) == result.targets[0].location.point_count > 1000
