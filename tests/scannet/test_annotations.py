"""Annotations, queries and the truth of a frame."""

import json
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lisa_ros.errors import ConfigurationError, RecordingError
from lisa_ros.scannet.annotations import AnnotatedObject, Annotation, AnnotationWriter, Category
from lisa_ros.scannet.scene_files import LABELS, SceneFiles
from lisa_ros.scannet.scene_queries import SceneQuery, generate_queries, read_queries, write_queries
from lisa_ros.scannet.truth import boundary_band, frame_truth, resize_nearest, visible_objects

pytestmark = pytest.mark.unit

POSE = np.eye(4)
CATEGORIES = [
    Category(1, "wall", "wall", 99),
    Category(2, "office chair", "chair", 90),
    Category(3, "sofa", "sofa", 70),
    Category(4, "sofa chair", "sofa chair", 60),
    Category(5, "lamp", "lamp", 50),
    Category(7, "chair", "chair", 80),
    Category(9, "cup", "cup", 5),
]
OBJECTS = [
    AnnotatedObject(0, "office chair"),
    AnnotatedObject(3, "chair"),
    AnnotatedObject(254, "cup"),
    AnnotatedObject(5, "wall"),
]


@pytest.fixture
def golden_annotation(sens):
    with Annotation(SceneFiles.find(sens)) as annotation:
        yield annotation


@pytest.fixture
def files(tmp_path):
    """Paths of a scan x in an empty folder."""
    names = ("x_2d-instance-filt.zip", "x_2d-label-filt.zip", "x.aggregation.json", LABELS)
    return SceneFiles("x", tmp_path / "x.sens", *(tmp_path / name for name in names))


def picture():
    """20 x 40 px: chairs left and right, a small cup, wall, and a strip without annotation."""
    instances = np.full((20, 40), 6, np.uint8)
    instances[5:15, 2:12] = 1
    instances[5:15, 25:35] = 4
    instances[0, 0] = 255
    instances[18:] = 0
    return instances


@pytest.fixture
def annotation(files):
    """The written scan, opened."""
    with AnnotationWriter(files, OBJECTS, CATEGORIES) as writer:
        writer.add(0, picture())
    with Annotation(files) as annotation:
        yield annotation


def query(ids=(0,), kind="category", **changes):
    return SceneQuery("x", "q", "the chair", kind, ids, **changes)


def test_golden_instances_have_the_expected_pixels(golden_annotation, expected):
    assert {str(i): item.label for i, item in golden_annotation.objects.items()} == {
        i: item["label"] for i, item in expected["objects"].items()
    }
    for frame, truth in enumerate(expected["frames"]):
        instances = golden_annotation.instances(frame)
        for number, pixels in truth["instance_pixels"].items():
            assert np.count_nonzero(instances == int(number) + 1) == pixels


def test_golden_truth_is_gated_by_pose_and_visibility(golden_annotation, expected):
    size = tuple(expected["color_size"])
    for frame, facts in enumerate(expected["frames"]):
        pose = None if facts["pose"] is None else np.array(facts["pose"])
        for number, pixels in facts["instance_pixels"].items():
            truth = frame_truth(golden_annotation, query((int(number),)), frame, pose, size)
            if pose is None:
                assert truth is None
            else:
                assert np.count_nonzero(truth.mask) == pixels
                assert truth.ignore[golden_annotation.instances(frame) == 0].all()
    assert frame_truth(golden_annotation, query((2,)), 0, POSE, size, min_visible=0.02) is None


def test_what_is_written_is_read(annotation):
    assert annotation.objects == {item.id: item for item in OBJECTS}
    assert np.array_equal(annotation.instances(0), picture())
    assert annotation.categories["office chair"] == CATEGORIES[1]


def test_truth_of_several_objects_is_their_union(annotation):
    truth = frame_truth(annotation, query((0, 3)), 0, POSE, (40, 20), boundary=2)
    assert np.array_equal(truth.mask, np.isin(picture(), (1, 4)))
    assert truth.ignore[18:].all() and truth.ignore[5, 2:12].all() and truth.ignore[4, 5] and truth.ignore[6, 5]
    assert not truth.ignore[10, 6] and not truth.ignore[0, 20]
    assert truth.labels[[19, 10, 0], [0, 6, 20]].tolist() == [255, 1, 0]


def test_truth_of_what_is_not_there_is_empty(annotation):
    truth = frame_truth(annotation, query((), "negative"), 0, POSE, (40, 20))
    assert not truth.mask.any() and np.array_equal(truth.ignore, picture() == 0)


def test_truth_at_another_size_mixes_no_ids(annotation):
    truth = frame_truth(annotation, query(), 0, POSE, (80, 40), boundary=0)
    assert np.array_equal(truth.mask, np.kron(picture() == 1, np.ones((2, 2), bool)))


def test_objects_in_view_by_less_than_the_limit_are_not_asked_about(annotation):
    assert frame_truth(annotation, query((254,)), 0, POSE, (40, 20)) is None
    assert frame_truth(annotation, query((254,)), 0, POSE, (40, 20), min_visible=0.001) is not None


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))), st.integers(1, 20), st.integers(1, 20))
def test_nearest_resize_keeps_values(image, width, height):
    resized = resize_nearest(image, (width, height))
    assert resized.shape == (height, width) and set(np.unique(resized)) <= set(np.unique(image))


@given(hnp.arrays(bool, (12, 14)), st.integers(0, 3))
def test_boundary_band_lies_around_edges_alone(mask, radius):
    band = boundary_band(mask, radius)
    rows, columns = np.indices(mask.shape)
    for row, column in ((0, 0), (6, 7), (11, 13)):
        near = (rows - row) ** 2 + (columns - column) ** 2 <= (radius + 0.5) ** 2
        if mask[near].all() or not mask[near].any():
            assert not band[row, column]
    assert not boundary_band(np.ones((5, 5), bool), radius).any()


def store(path, name, pixels):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, cv2.imencode(".png", pixels)[1].tobytes())


def test_instances_without_an_object_are_refused(files, annotation):
    store(files.instances, "instance-filt/0.png", np.where(picture() == 1, 99, picture()).astype(np.uint8))
    with Annotation(files) as damaged, pytest.raises(RecordingError, match="pixel value 99 means object 98"):
        damaged.instances(0)


def test_labels_of_another_annotation_are_refused(files, annotation):
    store(files.labels, "0.png", np.full((20, 40), 9, np.uint16))
    with Annotation(files) as damaged, pytest.raises(RecordingError, match=r"'office chair'. has label 9, .*says 2"):
        damaged.instances(0)


@pytest.mark.parametrize(
    ("name", "pixels", "words"),
    [
        ("1.png", np.zeros((20, 40), np.uint8), "no image of frame 0; it has 1 frames"),
        ("0.png", np.zeros((20, 40), np.uint16), "uint16 .* one channel of uint8"),
        ("0.png", np.zeros((20, 40, 3), np.uint8), "one channel"),
        ("0.png", np.zeros((20, 41), np.uint8), "differ"),
    ],
)
def test_wrong_images_are_refused(files, annotation, name, pixels, words):
    store(files.instances, name, pixels)
    with Annotation(files) as damaged, pytest.raises(RecordingError, match=words):
        damaged.instances(0)


def test_damaged_archives_are_refused(files, annotation):
    data = files.instances.read_bytes()
    with zipfile.ZipFile(files.instances, "w") as archive:
        archive.writestr("0.png", b"no png")
    with Annotation(files) as damaged, pytest.raises(RecordingError, match="damaged"):
        damaged.instances(0)
    files.instances.write_bytes(data[: len(data) // 2])
    with pytest.raises(RecordingError, match="not a whole zip"):
        Annotation(files)


def test_damaged_tables_are_refused(files, annotation):
    groups = json.loads(files.aggregation.read_text())
    changes = {
        "255 is not within": {"objectId": 255},
        "same objectId twice": {"objectId": 3},
        "lacks the labels yak": {"label": "yak"},
        "no aggregation": {"objectId": None},
    }
    for words, change in changes.items():
        files.aggregation.write_text(
            json.dumps({"segGroups": [groups["segGroups"][0] | change, *groups["segGroups"][1:]]})
        )
        with pytest.raises(RecordingError, match=words):
            Annotation(files)
    files.aggregation.write_text(json.dumps(groups))
    files.label_table.write_text("id\tname\n")
    with pytest.raises(RecordingError, match="raw_category"):
        Annotation(files)
    files.label_table.write_text("id\traw_category\tcategory\nten\tcup\tcup\n")
    with pytest.raises(RecordingError, match="line 2"):
        Annotation(files)


def test_generated_queries_group_by_category_and_ask_for_what_is_not_there(annotation):
    queries = generate_queries(annotation, negatives=5, frames=range(0, 30, 10))
    found = [(item.kind, item.text, item.object_ids) for item in queries]
    assert found[:2] == [("category", "every chair", (0, 3)), ("category", "the cup", (254,))]
    # not "sofa chair", which shares a word with what is there; not "wall"
    assert sorted(found[2:]) == [("negative", "the lamp", ()), ("negative", "the sofa", ())]
    assert all(item.frames == (0, 10, 20) for item in queries)
    assert generate_queries(annotation, 5, (0, 10, 20)) == queries
    visible = visible_objects(annotation, [0])
    assert visible == {0, 3, 5}
    assert [item.text for item in generate_queries(annotation, 0, visible=visible)] == ["every chair"]


def test_queries_file_round_trip(tmp_path, annotation):
    queries = [
        query(),
        query((), "negative", frames=(1, 5)),
        query((3,), "reasoning", window=(2, 4)),
        query((0,), "referring"),
        replace(query(), text="the\u2028chair"),
    ]
    queries = [replace(item, query_id=str(number)) for number, item in enumerate(queries)]
    write_queries(tmp_path / "q.jsonl", queries)
    assert read_queries(tmp_path / "q.jsonl", annotation) == queries
    assert [frame for frame in range(8) if queries[1].asks_about(frame)] == [1, 5]
    assert [frame for frame in range(8) if queries[2].asks_about(frame)] == [2, 3, 4]
    assert all(queries[0].asks_about(frame) for frame in range(8))


def test_queries_of_other_scans_are_left_out(tmp_path, annotation):
    write_queries(tmp_path / "q.jsonl", [query(), replace(query((77,)), scene="y")])
    assert [item.scene for item in read_queries(tmp_path / "q.jsonl", annotation)] == ["x"]
    assert len(read_queries(tmp_path / "q.jsonl")) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "riddle"}, "riddle"),
        ({"object_ids": []}, "only negative has none"),
        ({"kind": "negative"}, "only negative has none"),
        ({"object_ids": [98]}, r"no objects \[98\]"),
        ({"object_ids": [True]}, "whole numbers"),
        ({"object_ids": "0"}, "whole numbers"),
        ({"frames": [-1]}, "whole numbers"),
        ({"window": [1]}, "first and the last"),
        ({"window": [1, 2], "frames": [1]}, "not both"),
        ({"window": [2, 1]}, "must not be behind"),
        ({"text": " "}, "must not be empty"),
        ({"text": 5}, "must be text"),
        ({"text": "half a \ud83d"}, "half a character"),
        ({"query_id": "\udcff"}, "half a character"),
        ({"object_id": [0]}, "keys must be among"),
    ],
)
def test_bad_lines_of_a_queries_file_are_named(tmp_path, annotation, change, words):
    good = {"scene": "x", "query_id": "a", "text": "the chair", "kind": "category", "object_ids": [0]}
    lines = [good, good | {"query_id": "b"} | change]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(RecordingError, match=f"line 2.*{words}"):
        read_queries(tmp_path / "q.jsonl", annotation)


def test_queries_that_occur_twice_or_are_no_json_are_refused(tmp_path):
    write_queries(tmp_path / "q.jsonl", [query(), query()])
    with pytest.raises(RecordingError, match=r"line 2.*twice"):
        read_queries(tmp_path / "q.jsonl")
    (tmp_path / "q.jsonl").write_text("[1]\n")
    with pytest.raises(RecordingError, match="line 1"):
        read_queries(tmp_path / "q.jsonl")
    with pytest.raises(RecordingError, match="there is no"):
        read_queries(tmp_path / "none.jsonl")
    with pytest.raises(ConfigurationError, match="cannot write"):
        write_queries(tmp_path / "none" / "q.jsonl", [])


def test_scene_files_are_found(sens, tmp_path):
    files = SceneFiles.find(sens.parent)
    assert files == SceneFiles.find(sens) and files.scene == "scene0000_00"
    assert files.label_table == sens.parents[1] / LABELS and files.instances.name.endswith("instance-filt.zip")
    with pytest.raises(RecordingError, match="there is no"):
        SceneFiles.find(tmp_path)


def test_archives_that_python_cannot_unpack_are_named(files, annotation):
    data = bytearray(files.instances.read_bytes())
    for mark, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):  # Deflate64, as Windows packs what is large
        start = data.index(mark)
        data[start + at : start + at + 2] = b"\x09\0"
    files.instances.write_bytes(data)
    with Annotation(files) as packed, pytest.raises(RecordingError, match=r"0\.png cannot be unpacked: .*supported"):
        packed.instances(0)


def test_files_with_a_byte_order_mark_are_read(files, annotation, tmp_path):
    path = tmp_path / "queries.jsonl"
    write_queries(path, generate_queries(annotation))
    expected = read_queries(path, annotation)
    for written in (path, files.aggregation, files.label_table):
        written.write_bytes(b"\xef\xbb\xbf" + written.read_bytes().replace(b"\n", b"\r\n"))
    with Annotation(files) as marked:
        assert (marked.objects, marked.categories) == (annotation.objects, annotation.categories)
        assert read_queries(path, marked) == expected


def repacked(path, name_of):
    """The zip's images under other names."""
    with zipfile.ZipFile(path) as archive:
        images = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in images.items():
            info = zipfile.ZipInfo("x")
            info.filename = name_of(name)  # as it is: the constructor would take what a system calls a separator
            archive.writestr(info, data)


@pytest.mark.parametrize(
    "name_of",
    [
        lambda name: "x\\" + name.replace("/", "\\"),  # programs of Windows
        lambda name: name.replace(".png", ".PNG"),
        lambda name: "instance-filt/00000" + name.rpartition("/")[2],
    ],
)
def test_zips_of_other_programs_are_read(annotation, files, name_of):
    before = annotation.instances(0)
    annotation.close()
    repacked(files.instances, name_of)
    repacked(files.labels, name_of)
    with zipfile.ZipFile(files.instances, "a") as archive:
        archive.writestr("__MACOSX/instance-filt/._0.png", b"a resource fork")
        archive.writestr("instance-filt/", b"")
    with Annotation(files) as again:
        np.testing.assert_array_equal(again.instances(0), before)


def test_two_images_of_a_frame_are_told(annotation, files):
    annotation.close()
    with zipfile.ZipFile(files.instances, "a") as archive:
        archive.writestr("instance/0.png", b"another")
    with pytest.raises(RecordingError, match=r"two images of frame 0, instance-filt/0\.png and instance/0\.png"):
        Annotation(files)


@pytest.mark.parametrize("place", ["{kind}-filt", "{scene}_2d-{kind}-filt", "{scene}_2d-{kind}-filt/{kind}-filt"])
def test_unpacked_zips_are_read(scan, golden_annotation, tmp_path, place):
    copy = tmp_path / scan.name
    copy.mkdir()
    for path in scan.iterdir():
        if path.suffix != ".zip":
            (copy / path.name).symlink_to(path)
    for kind in ("instance", "label"):
        with zipfile.ZipFile(scan / f"{scan.name}_2d-{kind}-filt.zip") as archive:
            for name in archive.namelist():
                target = copy / place.format(kind=kind, scene=scan.name) / name.rpartition("/")[2]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
    with Annotation(SceneFiles.find(copy, golden_annotation_table(scan))) as annotation:
        np.testing.assert_array_equal(annotation.instances(1), golden_annotation.instances(1))


def golden_annotation_table(scan):
    return SceneFiles.find(scan).label_table


def test_blanks_at_the_ends_of_labels_do_not_count(annotation, files):
    before = annotation.instances(0)
    annotation.close()
    groups = json.loads(files.aggregation.read_text())
    for group in groups["segGroups"]:
        group["label"] += " "
    files.aggregation.write_text(json.dumps(groups))
    lines = files.label_table.read_text().splitlines()
    files.label_table.write_text(
        "\n".join([lines[0], *(line.replace("office chair", " office  chair\u00a0") for line in lines[1:])])
    )
    with Annotation(files) as again:
        np.testing.assert_array_equal(again.instances(0), before)
        assert {item.label for item in again.objects.values()} == {"office chair", "chair", "cup", "wall"}
        assert not any(query.text != query.text.strip() for query in generate_queries(again))


def test_of_two_rows_the_one_without_blanks_goes_first(files, annotation):
    annotation.close()
    with files.label_table.open("a") as file:
        file.write("77\tchair \tchair\t1\n78\t lamp shade\tlamp\t1\n")
    with Annotation(files) as again:
        assert (again.categories["chair"].id, again.categories["lamp shade"].id) == (7, 78)
        again.instances(0)
