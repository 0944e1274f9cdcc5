"""A result as a page of text in Markdown."""

import math

from lisa_ros.client.results import PerceptionResult, PerceptionTarget

_ESCAPED = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_{}[]<>()#+-.!|~"} | {"\n": " ", "\r": " "})


def answer_markdown(result: PerceptionResult) -> str:
    """Query, answer, a table of targets, and what else the result says; a model's words stay words."""
    lines = [f"## {_plain(result.query)}", "", _plain(result.answer) or "*no answer in words*", ""]
    if result.targets:
        lines += ["| target | kind | quality | size | warnings |", "|---|---|---|---|---|"]
        lines += [_row(target) for target in result.targets] + [""]
    total = result.seconds.get("total")
    facts = [f"**{result.status.name}**", *([f"{total:.2f} s"] if total is not None else []), _plain(result.model)]
    lines += [" · ".join(fact for fact in facts if fact), "", _plain(result.message)]
    return "\n".join(lines).rstrip() + "\n"


def _row(target: PerceptionTarget) -> str:
    quality = "not calibrated" if math.isnan(target.quality) else f"{target.quality:.2f}"
    size = warnings = ""
    if target.location is not None:
        size = " x ".join(f"{100 * side:.1f}" for side in target.location.extents) + " cm"
        warnings = ", ".join(warning.split(":")[0] for warning in target.location.grasp_warnings)
    correction = f" (perhaps {_plain(target.correction)})" if target.correction else ""
    words = f"{_plain(target.phrase) or 'no words'}{correction}"
    return f"| {words} | {target.kind} | {quality if target.mask.any() else ''} | {size} | {_plain(warnings)} |"


def _plain(text: str) -> str:
    return text.translate(_ESCAPED).strip()
