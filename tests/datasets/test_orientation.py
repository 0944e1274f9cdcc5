"""Pictures with an EXIF orientation: whose annotations belong to the stored pixels, and whose to the turned picture."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps

from lisa_ros.datasets.parts import pascal_part
from lisa_ros.datasets.reasonseg import ReasonSegDataset
from lisa_ros.datasets.refer import ReferDataset
from lisa_ros.datasets.semantic import ade20k
from lisa_ros.errors import DatasetError
from lisa_ros.images import read_image
from training.data.check import PARTIAL, check

pytestmark = pytest.mark.unit

ORIENTATION = 0x0112


def turn(path, orientation):
    """Marks a picture as turned; gives its pixels as they are stored, and as a viewer shows them."""
    with Image.open(path) as image:
        pixels = image.copy()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels.save(path, "PNG", exif=exif)  # whatever its ending: without loss
    return np.array(pixels.convert("RGB")), np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("opened", [lambda root: ReferDataset(root, "refcoco", "train"), pascal_part, ade20k])
def test_cocos_annotations_belong_to_the_stored_pixels(copy_of_root, opened, orientation):
    data = opened(copy_of_root)
    masks = [turn.targets[0].mask for turn in data[0].turns]
    stored, _ = turn(data.files(0)[0], orientation)
    sample = data[0]
    np.testing.assert_array_equal(sample.image, stored)
    for mask, one in zip(masks, sample.turns, strict=True):
        np.testing.assert_array_equal(mask, one.targets[0].mask)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labelmes_annotations_belong_to_the_turned_picture(copy_of_root, orientation):
    data = ReasonSegDataset(copy_of_root, "val")
    stored, shown = turn(data.files(0)[0], orientation)
    np.testing.assert_array_equal(data[0].image, shown)
    assert data[0].turns[0].targets[0].mask.shape == shown.shape[:2]
    assert np.array_equal(stored, shown) == (orientation == 1)


def test_a_size_that_only_the_turned_picture_has_tells_what_was_annotated(copy_of_root):
    """Some programs write COCO's form after they have turned the picture."""
    data = ReferDataset(copy_of_root, "refcoco", "val")
    (path,) = data.files(0)
    stored, _ = turn(path, 6)
    instances = copy_of_root / "refer_seg" / "refcoco" / "instances.json"
    content = json.loads(instances.read_text())
    (row,) = [row for row in content["images"] if row["file_name"] == path.name]
    row["height"], row["width"] = stored.shape[1], stored.shape[0]
    for annotation in content["annotations"]:
        annotation["segmentation"] = [[0, 0, 9, 0, 9, 9]]
    instances.write_text(json.dumps(content))
    assert ReferDataset(copy_of_root, "refcoco", "val")[0].image.shape == (stored.shape[1], stored.shape[0], 3)
    row["height"] += 1
    instances.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="pixels, its annotations"):
        ReferDataset(copy_of_root, "refcoco", "val")[0]


def test_a_picture_of_another_size_than_labelme_annotated_is_told(copy_of_root):
    data = ReasonSegDataset(copy_of_root, "val")
    picture, annotation = data.files(0)
    height, width = read_image(picture).shape[:2]
    content = json.loads(annotation.read_text())
    annotation.write_text(json.dumps(content | {"imageHeight": height, "imageWidth": width, "imagePath": "x.jpg"}))
    assert data[0].turns
    annotation.write_text(json.dumps(content | {"imageHeight": 2 * height, "imageWidth": 2 * width}))
    with pytest.raises(DatasetError, match=f"of a picture of {2 * width}x{2 * height} pixels, not of {width}x{height}"):
        data[0]


def reasonseg_folder(copy):
    return copy / "reason_seg" / "ReasonSeg" / "val"


@pytest.mark.parametrize("ending", [".JPG", ".jpeg", ".JPEG", ".png", ".PNG"])
def test_pictures_with_other_endings_are_found(copy_of_root, ending):
    before = [ReasonSegDataset(copy_of_root, "val").key(index) for index in range(4)]
    folder = reasonseg_folder(copy_of_root)
    path = folder / "v1.jpg"
    pixels = read_image(path)
    path.rename(path.with_suffix(ending))
    (folder / "v2.json").rename(folder / "v2.JSON")
    shutil.copy(folder / "v0.jpg", folder / "._v0.jpg")  # as macOS leaves them behind
    data = ReasonSegDataset(copy_of_root, "val")
    assert [data.key(index) for index in range(len(data))] == before
    np.testing.assert_array_equal(data[1].image, pixels)
    assert data[1].turns and data[2].turns
    (status,) = check(copy_of_root, ["ReasonSeg|val"], read=4)
    assert (status.state, status.samples, status.absent) == (PARTIAL, 4, ())


def test_an_annotation_without_a_picture_is_a_sample_that_cannot_be_read(copy_of_root):
    folder = reasonseg_folder(copy_of_root)
    (folder / "v1.jpg").unlink()
    data = ReasonSegDataset(copy_of_root, "val")
    assert len(data) == 4 and data.key(1) == "v1" and not data.files(1)[0].exists()
    with pytest.raises(DatasetError, match=r"there is no picture of .*v1\.json: no v1 with \.jpg, "):
        data[1]
    for path in folder.glob("*.jpg"):
        path.unlink()
    with pytest.raises(DatasetError, match="has no pictures"):
        ReasonSegDataset(copy_of_root, "val")


def test_two_pictures_of_one_annotation_are_told(copy_of_root):
    folder = reasonseg_folder(copy_of_root)
    shutil.copy(folder / "v1.jpg", folder / "v1.png")
    with pytest.raises(DatasetError, match=r"two pictures of one name, v1\.jpg and v1\.png"):
        ReasonSegDataset(copy_of_root, "val")
