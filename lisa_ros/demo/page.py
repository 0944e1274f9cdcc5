"""The demo's report: one picture a question, clouds, summary.json, index.html."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np

from lisa_ros.demo.clouds import draw_cloud, write_ply
from lisa_ros.demo.records import Record, summary, told
from lisa_ros.evaluation.files import convert_write_errors, write_summary, write_text_atomically
from lisa_ros.evaluation.scans.rows import ANSWERED
from lisa_ros.images import write_image
from lisa_ros.types import SegmentationResult
from lisa_ros.visualization import annotated_picture

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1c20; --muted: #686e78; --paper: #f4f4f1; --card: #fff; --line: #dedfda;
  --good: #137a45; --bad: #b3261e; --accent: #b35600; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececea; --muted: #9da3ad; --paper: #16181c; --card: #202328;
  --line: #34383f; --good: #5ecf93; --bad: #ff8a80; --accent: #ffb26b; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1180px; padding: 2rem 1.2rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
h1 { font-size: 1.7rem; margin: 0 0 .3rem } h2 { font-size: 1.1rem; margin: 0 0 .2rem }
p { margin: .3rem 0 } .muted { color: var(--muted) } a { color: var(--accent) }
.numbers { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.3rem 0 }
.numbers div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .7rem 1.1rem;
  min-width: 9rem } .numbers b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums }
article { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1rem 1.2rem;
  margin: 1.1rem 0 } article img { max-width: 100%; height: auto; border-radius: 8px; display: block }
.pair { display: grid; grid-template-columns: 7fr 3fr; gap: 1rem; align-items: center; margin-top: .7rem }
@media (max-width: 800px) { .pair { grid-template-columns: 1fr } }
.chip { display: inline-block; border: 1px solid var(--line); border-radius: 99px; padding: 0 .6rem; font-size: .85rem;
  margin-right: .3rem; font-variant-numeric: tabular-nums } .good { color: var(--good) } .bad { color: var(--bad) }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line) } td.n { text-align: right }
"""


# Of the questions that are asked by phrases.
_HOW = """The sentence above is what a person would say. The model was not asked it: this demo, in a robot its program,
names the things in it, and asks for them as <code>phrases</code> of one goal. What is not wanted is not asked for. The
packaged model's style is that of LISA, which tells what is there by the probability of <code>[SEG]</code> and offers
nothing in the place of what is absent; so for a false premise the thing without the false word is asked for too. A
model of the style of SESAME offers a correction in words."""


def write_report(folder: Path, records: Sequence[Record], seconds: float, progress: Callable[[str], None]) -> dict:
    """Writes everything into a folder that exists; returns the content of summary.json. progress gets file names."""
    for record in records:
        write_image(folder / f"{record.name}.png", picture(record))
        ply, drawn = folder / f"{record.name}.ply", folder / f"{record.name}_cloud.png"
        with convert_write_errors(ply):
            for earlier in (ply, drawn):  # of an earlier run, where now there may be no cloud
                earlier.unlink(missing_ok=True)
            if record.timed is not None and record.timed.cloud is not None:
                cloud = record.timed.cloud
                write_ply(ply, cloud.points, cloud.colors)
                draw_cloud(drawn, cloud, record.timed.result.scene_cloud, record.timed.boxes, record.scene.camera_pose)
        progress(f"{record.name}.png")
    content = summary(records, seconds)
    write_summary(folder / "summary.json", content)
    write_text_atomically(folder / "index.html", page(content))
    return content


def picture(record: Record) -> np.ndarray:
    """(h, w, 3) uint8: question, image with the outline of the truth beside the masks, answer, IoU."""
    if record.timed is None:
        result = SegmentationResult(record.query.text, f"(no result: {record.message})", ())
    else:
        result = record.timed.result
        empty = np.zeros(record.scene.depth.shape, bool)
        shown = tuple(t if t.mask.size else replace(t, mask=empty) for t in result.targets)
        result = replace(result, targets=shown, query=record.query.text, answer=told(record))
    return annotated_picture(record.scene.image, result, truth=record.truth, iou=record.iou, note=_note(record))


def _note(record: Record) -> str:
    expected = "expected: " + (" and ".join(record.query.phrases) if record.truth is not None else "nothing")
    seconds = [f"{record.timed.seconds:.2f} s"] if record.timed else []
    return " · ".join([record.query.kind, f"asked by {record.via}", record.status, *seconds, expected])


def page(content: dict) -> str:
    """The page as HTML that needs nothing but the files beside it."""
    entries = content["queries"]
    times = sorted(entry["seconds"] for entry in entries if entry["seconds"] is not None)
    numbers = [
        ("mean IoU of present targets", f"{content['mean_iou_present']:.2f}"),
        ("absent targets refused", f"{content['absent_refused']} of {content['absent']}"),
        ("questions answered", f"{sum(entry['status'] in ANSWERED for entry in entries)} of {len(entries)}"),
        ("median time to the result", f"{times[len(times) // 2]:.2f} s" if times else "-"),
    ]
    if content["phrases_asked"]:
        numbers.append(("phrases told rightly", f"{content['phrases_right']} of {content['phrases_asked']}"))
    cards = "".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in numbers)
    problems = "".join(f'<p class="bad">{escape(problem)}</p>' for problem in content["problems"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>lisa_ros demo</title><style>{_STYLE}</style></head><body>
<h1>Asked in words, answered with masks and clouds</h1>
<p class="muted">A simulated RGB-D camera and the perception node ran as two processes; every question went over ROS 2,
by the topic <code>query</code> or the action <code>segment</code>; where a sentence names several things, they went as
phrases of one goal. White outlines are the simulator's truth.
Model: {escape(content["model"] or "unknown")}. The whole run took {content["seconds"]:.0f} s.</p>
{problems}<div class="numbers">{cards}</div>
<article><table><tr><th>#</th><th>kind</th><th>question</th><th>answer</th><th>status</th><th>IoU</th><th>s</th></tr>
{"".join(_row(number, entry) for number, entry in enumerate(entries, start=1))}</table></article>
{"".join(_article(number, entry) for number, entry in enumerate(entries, start=1))}
<p class="muted">Numbers: <a href="summary.json">summary.json</a>. What the processes wrote:
<a href="log.txt">log.txt</a>.</p></body></html>
"""


def _row(number: int, entry: dict) -> str:
    seconds = "-" if entry["seconds"] is None else f"{entry['seconds']:.2f}"
    return (
        f'<tr><td><a href="#q{number}">{number}</a></td><td>{escape(entry["kind"])}</td>'
        f"<td>{escape(entry['text'])}</td><td>{escape(entry['told'])}</td><td>{escape(entry['status'])}</td>"
        f'<td class="n {_colour(entry)}">{entry["iou"]:.2f}</td><td class="n">{seconds}</td></tr>\n'
    )


def _article(number: int, entry: dict) -> str:
    sheet = entry["picture"]
    picture = f'<a href="{escape(sheet)}"><img src="{escape(sheet)}" alt="{escape(entry["text"])}" loading="lazy"></a>'
    if entry["cloud"]:
        drawn = entry["cloud"].removesuffix(".ply") + "_cloud.png"
        cloud = (
            f'<div><img src="{escape(drawn)}" alt="cloud of the target" loading="lazy">'
            f'<p class="muted"><a href="{escape(entry["cloud"])}">{escape(entry["cloud"])}</a></p></div>'
        )
        picture = f'<div class="pair">{picture}{cloud}</div>'
    chips = [entry["kind"], f"by {entry['via']}", entry["status"]]
    chips = "".join(f'<span class="chip">{escape(chip)}</span>' for chip in chips)
    chips += f'<span class="chip {_colour(entry)}">IoU {entry["iou"]:.2f}</span>'
    message = f'<p class="muted">{escape(entry["message"])}</p>' if entry["message"] else ""
    phrases = _phrases(entry["phrases"]) if entry["phrases"] else ""
    return (
        f'<article id="q{number}"><h2>{escape(entry["text"])}</h2><p>{chips}</p>{message}{phrases}{picture}</article>\n'
    )


def _phrases(outcomes: list[dict]) -> str:
    rows = "".join(_phrase(outcome) for outcome in outcomes)
    return (
        f'<p class="muted">{_HOW}</p><table><tr><th>phrase that was asked for</th><th>truth</th><th>told</th>'
        f"<th>offered in its place</th><th>probability</th><th>IoU</th></tr>{rows}</table>\n"
    )


def _phrase(outcome: dict) -> str:
    there, told_there = ("there" if value else "absent" for value in (outcome["present"], outcome["found"]))
    probability = "-" if outcome["probability"] is None else f"{outcome['probability']:.3f}"
    return (
        f"<tr><td>{escape(outcome['phrase'])}</td><td>{there}</td>"
        f'<td class="{"good" if there == told_there else "bad"}">{told_there}</td>'
        f"<td>{escape(outcome['correction'])}</td>"
        f'<td class="n">{probability}</td><td class="n {_colour(outcome)}">{outcome["iou"]:.2f}</td></tr>\n'
    )


def _colour(entry: dict) -> str:
    return "good" if entry["iou"] >= 0.5 else "bad"
