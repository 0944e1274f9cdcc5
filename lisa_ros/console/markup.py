"""HTML of the page's texts. Whatever comes from the robot, the model or a person is escaped here."""

from collections.abc import Iterable, Mapping
from html import escape

from lisa_ros.console.state import FAIR, GOOD, NO_RESULT, RUNNING, QueryRecord
from lisa_ros.types import ABSENT, LOST, Target
from lisa_ros.visualization import PALETTE

STYLE = """<style>
.lr { font-size: 0.8rem; line-height: 1.4; padding: 0 0.75em 0.5em; overflow-wrap: anywhere; }
.lr-badge { display: inline-block; padding: 0 0.55em; border-radius: 0.7em; font-size: 0.72rem; font-weight: 600;
  color: #111; white-space: nowrap; }
.lr-muted { opacity: 0.65; }
.lr-answer { font-size: 1rem; margin: 0.35em 0; white-space: pre-wrap; }
.lr-cursor { animation: lr-blink 1s steps(2) infinite; }
@keyframes lr-blink { 50% { opacity: 0; } }
.lr-note { border-left: 3px solid; padding: 0.15em 0.6em; margin: 0.4em 0; }
.lr table { border-collapse: collapse; width: 100%; table-layout: fixed; }
.lr td { padding: 0.1em 0.3em 0.1em 0; vertical-align: top; }
.lr tr + tr td { border-top: 1px solid rgba(128, 128, 128, 0.25); }
.lr-chip { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 0.2em; margin-right: 0.4em;
  vertical-align: baseline; }
.lr-bar { display: flex; height: 0.7em; border-radius: 0.35em; overflow: hidden; margin: 0.5em 0 0.2em; }
</style>"""

GREEN, AMBER, RED, BLUE, GREY = "#34d378", "#ffb02e", "#ff6b5b", "#5ab4ff", "#9aa0a8"
STAGE_COLOURS = ("#8c9bb0", "#34d378", "#ffb02e", "#b284ff", "#f472d0", "#78e1e1", "#5ab4ff", "#d9d94a")
_SHORTEST = 5e-4  # s; what is shorter is not worth its place


def status_colour(status: str) -> str:
    """Of a query's status."""
    if status == RUNNING:
        return BLUE
    return GREEN if status in GOOD else AMBER if status in FAIR else RED


def badge(text: str, colour: str) -> str:
    """A word on a coloured ground."""
    return f'<span class="lr-badge" style="background:{colour}">{escape(text)}</span>'


def block(*parts: str) -> str:
    """What one text element of the page shows, of parts that are HTML."""
    return f'<div class="lr">{"".join(parts)}</div>'


def note(text: str, colour: str) -> str:
    """A remark; "" for an empty text."""
    return f'<div class="lr-note" style="border-color:{colour}">{escape(text)}</div>' if text else ""


def muted(text: str) -> str:
    """A line of less weight."""
    return f'<div class="lr-muted">{escape(text)}</div>'


def aside(text: str) -> str:
    """The same, behind what stands in the line already."""
    return f' <span class="lr-muted">{escape(text)}</span>'


def table(rows: Iterable[tuple[str, str]], width: str = "45%") -> str:
    """Two columns of plain text.

    Args:
        rows: Name and value.
        width: Of the first column.
    """
    lines = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    return f'<table><colgroup><col style="width:{width}"><col></colgroup>{lines}</table>'


def answer_block(record: QueryRecord | None, now: float) -> str:
    """Question, status, answer, targets and times of a query.

    Args:
        record: The query; None where there is none yet.
        now: Time of day, s since the epoch.
    """
    if record is None:
        return block(
            muted("Nothing has been asked yet. Type a question on the right: “the red mug”, “which of these is sharp?”")
        )
    is_running = record.status == RUNNING
    status = record.stage if is_running else record.status.replace("_", " ").lower()
    facts = [badge(status, status_colour(record.status))]
    if record.turn:
        facts.append(badge(f"conversation, turn {record.turn}", GREY))
    if record.origin:
        facts.append(badge(record.origin, GREY))
    if record.truncated:
        facts.append(badge("answer cut at its token limit", AMBER))
    cursor = '<span class="lr-cursor">▌</span>' if is_running else ""
    answer = f'<div class="lr-answer" data-answer="{record.number}">{escape(record.answer)}{cursor}</div>'
    so_far = f"{now - record.asked:.0f} s" + (f", masks so far: {record.masks}" if record.masks else "")
    return block(
        f'<div style="font-weight:600">{escape(record.query)}</div>',
        f"<div>{' '.join(facts)}</div>",
        answer if record.answer or is_running else "",
        muted(so_far) if is_running else "",
        note("" if is_running else record.message, status_colour(record.status)),
        _targets(record.targets),
        stage_bar(record.seconds),
        muted(_provenance(record)) if record.model else "",
    )


def stage_bar(seconds: Mapping[str, float]) -> str:
    """The stages of a query as a bar and in numbers; "" without any."""
    stages = {name: value for name, value in seconds.items() if name != "total" and value >= _SHORTEST}
    if not stages:
        return ""
    colours = {name: STAGE_COLOURS[index % len(STAGE_COLOURS)] for index, name in enumerate(stages)}
    bar = "".join(
        f'<div style="flex:{1000 * value:.1f};background:{colours[name]}"></div>' for name, value in stages.items()
    )
    words = " ".join(
        f'<span style="white-space:nowrap"><span class="lr-chip" style="background:{colours[name]}"></span>'
        f"{escape(name.replace('_', ' '))} {duration(value)}&ensp;</span>"
        for name, value in stages.items()
    )
    total = seconds.get("total")
    whole = f"<b>{duration(total)}</b>&ensp;" if total else ""
    return f'<div class="lr-bar">{bar}</div><div>{whole}{words}</div>'


def duration(seconds: float) -> str:
    """In the unit that reads best."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def summary(record: QueryRecord) -> str:
    """The outcome of a query in a word and its time, as plain text."""
    if record.status == RUNNING:
        return record.stage
    word = "no result" if record.status == NO_RESULT else record.status.replace("_", " ").lower()
    total = record.seconds.get("total")
    return f"{word}, {duration(total)}" if total else word


def _targets(targets: tuple[Target, ...]) -> str:
    if not targets:
        return ""
    rows = []
    for index, target in enumerate(targets):
        red, green, blue = PALETTE[index % len(PALETTE)]
        colour = f"rgb({red},{green},{blue})" if target.kind not in (ABSENT, LOST) else "transparent"
        chip = f'<span class="lr-chip" style="background:{colour}"></span>'
        rows.append(
            f"<tr><td>{chip}{escape(target.phrase or f'target {index + 1}')}</td><td>{escape(_found(target))}</td></tr>"
        )
    return f'<table style="margin-top:0.3em"><colgroup><col style="width:50%"><col></colgroup>{"".join(rows)}</table>'


def _found(target: Target) -> str:
    if target.kind in (ABSENT, LOST):
        offered = f"; perhaps {target.correction}" if target.correction else ""
        return ("not in the image" if target.kind == ABSENT else "not seen any more") + offered
    pixels = int(target.mask.sum())
    if not pixels:
        return "empty mask"
    return f"{pixels:,} pixels, p {target.mean_probability:.2f}"


def _provenance(record: QueryRecord) -> str:
    age = f", image {duration(record.image_age)} old at the end" if record.image_age >= 0 else ""
    return f"{record.model}{age}"
