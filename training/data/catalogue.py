"""The files of each data set, below the data folder, and where they come from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """Files of one data set.

    Attributes:
        files: Glob patterns with the number of files of the published data set, None where it does not matter. The
            first pattern belongs to this data set alone, while pictures may be shared.
        home: Where to get it.
    """

    files: tuple[tuple[str, int | None], ...]
    home: str


_COCO_2017 = ("coco/train2017/*.jpg", 118287)
_LLAVA = "https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K, pictures: https://cocodataset.org"
_LISA = "https://github.com/dvlab-research/LISA (ReasonSeg)"
_SESAME = "https://github.com/see-say-segment/sesame (dataset), pictures: https://cocodataset.org"
_REFER = "https://github.com/lichengunc/refer"
_TRAIN_2014 = ("refer_seg/images/mscoco/images/train2014/*.jpg", 82783)


def _refer(name: str, references: str, pictures: tuple[str, int | None] = _TRAIN_2014) -> tuple:
    base = f"refer_seg/{name}"
    return ((f"{base}/{references}", None), (f"{base}/instances.json", None), pictures)


def _reasonseg(split: str, count: int) -> tuple[tuple[str, int | None], ...]:
    # .jpg, .jpeg and .png, and .json, in small or capital letters, as the reader takes them
    endings = "[jJpP][pPnN]*[gG]", "[jJ][sS][oO][nN]"
    return tuple((f"reason_seg/ReasonSeg/{split}/*.{ending}", count) for ending in endings)


# By the names that a run's YAML gives them. Validation splits of the referring sets are in the files of the whole.
CATALOGUE = {
    "ade20k": Entry(
        (("ade20k/annotations/training/*.png", 20210), ("ade20k/images/training/*.jpg", 20210)),
        "http://sceneparsing.csail.mit.edu (ADEChallengeData2016)",
    ),
    "cocostuff": Entry(
        (("cocostuff/train2017/*.png", 118287), _COCO_2017),
        "https://github.com/nightrome/cocostuff (stuffthingmaps_trainval2017), pictures: https://cocodataset.org",
    ),
    "mapillary": Entry(
        (
            ("mapillary/config_v2.0.json", None),
            ("mapillary/training/v2.0/labels/*.png", 18000),
            ("mapillary/training/images/*.jpg", 18000),
        ),
        "https://www.mapillary.com/dataset/vistas (version 2.0)",
    ),
    "paco_lvis": Entry(
        (("vlpart/paco/annotations/paco_lvis_v1_train.json", None), _COCO_2017),
        "https://github.com/facebookresearch/paco, pictures: https://cocodataset.org",
    ),
    "pascal_part": Entry(
        (("vlpart/pascal_part/train.json", None), ("vlpart/pascal_part/VOCdevkit/VOC2010/JPEGImages/*.jpg", None)),
        "https://github.com/facebookresearch/VLPart (datasets), pictures: http://host.robots.ox.ac.uk/pascal/VOC/voc2010",
    ),
    "refcoco": Entry(_refer("refcoco", "refs(unc).p"), f"{_REFER}, pictures: https://cocodataset.org"),
    "refcoco+": Entry(_refer("refcoco+", "refs(unc).p"), f"{_REFER}, pictures: https://cocodataset.org"),
    "refcocog": Entry(_refer("refcocog", "refs(umd).p"), f"{_REFER}, pictures: https://cocodataset.org"),
    "refclef": Entry(
        _refer("refclef", "refs(unc).p", ("refer_seg/images/saiapr_tc-12/*/images/*.jpg", None)),
        f"{_REFER}, pictures: the subset of ImageCLEF named there",
    ),
    "grefcoco": Entry(
        _refer("grefcoco", "grefs(unc).*"), "https://github.com/henghuiding/gRefCOCO, pictures: https://cocodataset.org"
    ),
    "ref-zom": Entry(
        _refer("ref-zom", "refs(final).p", ("refer_seg/images/mscoco/images/*2014/*.jpg", None)),
        "https://github.com/toggle1995/RIS-DMMI (Ref-ZOM(final).p, renamed), pictures: https://cocodataset.org",
    ),
    **{
        f"{name}|{by}": Entry(_refer(name, f"refs({by}).p"), _SESAME)
        for name, by in (
            ("refcoco", "unc_exclude_unified"),
            ("refcoco+", "unc_exclude_unified"),
            ("refcocog", "umd_exclude_unified"),
        )
    },
    **{
        f"{prefix}{name}": Entry(_refer(f"{prefix}{name}", "refs(*_exclude_unified).p"), _SESAME)
        for prefix in ("R-", "fp")
        for name in ("refcoco", "refcoco+", "refcocog")
    },
    **{
        f"LLMSeg-40K|{split}": Entry(
            ((f"LLMSeg-40K/{split}.json", None), _COCO_2017, ("ego_objects/images/*.jpg", None)),
            "https://github.com/wangjunchi/LLMSeg (LLM-Seg40K), pictures: https://cocodataset.org and "
            "https://github.com/facebookresearch/EgoObjects",
        )
        for split in ("train", "validation", "test")
    },
    "llava_instruct_150k": Entry((("llava_dataset/llava_instruct_150k.json", None), _COCO_2017), _LLAVA),
    "llava_v1_5_mix665k": Entry(
        (
            ("llava_dataset/llava_v1_5_mix665k.json", None),
            _COCO_2017,
            ("gqa/images/*.jpg", None),
            ("ocr_vqa/images/*", None),
            ("textvqa/train_images/*.jpg", None),
            ("vg/VG_100K/*.jpg", None),
            ("vg/VG_100K_2/*.jpg", None),
        ),
        "https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K; the pictures of GQA, OCR-VQA, TextVQA and "
        "Visual Genome as https://github.com/haotian-liu/LLaVA describes",
    ),
    "ReasonSeg|train": Entry(_reasonseg("train", 239), _LISA),
    "ReasonSeg|train|explanatory": Entry(
        (("reason_seg/ReasonSeg/explanatory/train.json", None), *_reasonseg("train", 239)), _LISA
    ),
    "ReasonSeg|val": Entry(_reasonseg("val", 200), _LISA),
    "ReasonSeg|test": Entry(_reasonseg("test", 779), _LISA),
}
DRAWN = Entry((), "drawn by this package")  # the tabletop world
UNLISTED = Entry((), "its files are not listed in training/data/catalogue.py")


def entry(name: str) -> Entry:
    """The entry of a data set by any name in training.data.sources: `refcoco|unc|val` or `tabletop`; else UNLISTED."""
    family, of = name.split("|")[0], "|".join(name.split("|")[:2])
    found = CATALOGUE.get(name) or CATALOGUE.get(of) or CATALOGUE.get(family)
    return found or (DRAWN if family == "tabletop" else UNLISTED)
