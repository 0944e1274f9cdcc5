"""Named values in one text, and the options of proposals that are given so."""

import pytest

from lisa_ros import Lisa
from lisa_ros.errors import ConfigurationError
from lisa_ros.model.proposals import ProposalOptions
from lisa_ros.named_values import named_values

pytestmark = pytest.mark.unit


def test_values_are_numbers_switches_and_words():
    text = "points_per_side=16, pred_iou_thresh = 0.5,square=true,rule=similarity"
    expected = {"points_per_side": 16, "pred_iou_thresh": 0.5, "square": True, "rule": "similarity"}
    assert named_values(text, "options") == expected
    assert named_values("", "options") == {} == named_values(" , ", "options")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limit", "'limit' must be NAME=VALUE"),
        ("=3", "'=3' must be"),
        ("a=", "'a=' must be"),
        ("a=1,a=2", "a is given twice"),
    ],
)
def test_what_is_no_named_value_is_refused(text, words):
    with pytest.raises(ConfigurationError, match=f"--options: {words}"):
        named_values(text, "--options")


def test_options_of_proposals():
    assert ProposalOptions().changed({"limit": 3}) == ProposalOptions(limit=3)
    assert ProposalOptions().changed(None) == ProposalOptions()
    with pytest.raises(ConfigurationError, match=r"unknown proposal options: points; there are points_per_side, "):
        ProposalOptions().changed({"points": 3})
    with pytest.raises(ConfigurationError, match="limit is 'many'"):
        ProposalOptions().changed({"limit": "many"})
    with pytest.raises(ConfigurationError, match="style lisa draws its masks; proposal options are of no use"):
        Lisa.from_pretrained("tabletop", device="cpu", proposal_options={"limit": 3})
