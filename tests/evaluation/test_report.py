"""The page: everything in one file, nothing of what models say becomes markup."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from lisa_ros.evaluation.html_report import HtmlReport, percent

pytestmark = pytest.mark.unit
EVIL = '<script>alert("x")</script> & "quotes"'


def full_report():
    report = HtmlReport(EVIL, EVIL)
    report.warning(EVIL)
    report.numbers({EVIL: EVIL})
    report.table(EVIL, ("", EVIL), [(EVIL, "1")], aside=[("paper", EVIL)], note=EVIL)
    report.histogram("IoU", {EVIL: [0.1, 0.5], "b": [0.9]})
    report.curve("share", {"a": ([0, 1], [1, 0]), "b": ([0, 1], [1, 1])}, x_label=EVIL, y_label="y")
    report.pictures("worst", [(EVIL, np.zeros((6, 8, 3), np.uint8))])
    return report


def test_the_page_is_whole_and_holds_no_foreign_markup(tmp_path):
    full_report().write(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "alert(&quot;x&quot;)" in page
    assert page.count("<svg") == 2 and page.count("data:image/jpeg") == 1
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)  # nothing is loaded from elsewhere
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)


def test_equal_input_gives_an_equal_page():
    assert full_report().html() == full_report().html()


def test_empty_sections_are_drawn():
    report = HtmlReport("nothing")
    report.histogram("IoU", {"a": []})
    report.pictures("worst", [])
    assert report.html().count("<section>") == 2


@pytest.mark.parametrize(("value", "text"), [(0.5234, "52.3"), (1.0, "100.0"), (None, "-")])
def test_percent(value, text):
    assert percent(value) == text
