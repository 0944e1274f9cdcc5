"""The report of an evaluation: one self-contained HTML file.

    report = HtmlReport("ReasonSeg val", "What was asked, and how.")
    report.numbers({"gIoU": "0.52"})
    report.table("Scores", ("", "n", "gIoU"), [("all", "200", "0.52")])
    report.histogram("IoU of each question", {"teacher_forced": ious}, bins=20)
    report.pictures("Worst", [("which is sharp? IoU 0.02", image_rgb)])
    report.write(directory / "report.html")

Charts are matplotlib's SVG, pictures JPEG; all text is escaped.
"""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from lisa_ros.evaluation.files import write_text_atomically

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1d22; --muted: #666d78; --paper: #faf9f6; --card: #fff; --line: #dedbd2 }
@media (prefers-color-scheme: dark) { :root { --ink: #e9eaee; --muted: #9aa1ad; --paper: #14161a; --card: #1d2026;
  --line: #343943 } }
body { margin: 0 auto; max-width: 1080px; padding: 2rem 1.2rem 4rem; font: 16px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper) }
h1 { line-height: 1.2 } .muted, figcaption { color: var(--muted); font-size: .92rem }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .6rem 1.2rem 1.1rem;
  margin: 1.1rem 0; overflow-x: auto }
.numbers { display: flex; flex-wrap: wrap; gap: .8rem } .numbers div { border: 1px solid var(--line);
  border-radius: 10px; padding: .5rem 1rem } .numbers b { display: block; font-size: 1.4rem }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left } tr.aside td { color: var(--muted); font-style: italic }
.chart svg { width: 100%; max-width: 640px; height: auto; background: #fff; border-radius: 8px }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 0 1rem }
.grid img { width: 100% }
figure { margin: 1rem 0 } figure img { max-width: 100%; border-radius: 8px; display: block }
.warning { border-left: 4px solid #d1701b; padding-left: .8rem }
"""
_JPEG_QUALITY = 85


class HtmlReport:
    """Collects sections in the order in which they are added.

    Args:
        title: Title of the page.
        about: A first paragraph, "" for none.
    """

    def __init__(self, title: str, about: str = "") -> None:
        self.title = title
        self._parts = [f"<h1>{escape(title)}</h1>"]
        if about:
            self.paragraph(about)

    def paragraph(self, text: str) -> None:
        """A paragraph of text."""
        self._parts.append(f'<p class="muted">{escape(text)}</p>')

    def warning(self, text: str) -> None:
        """An important note."""
        self._parts.append(f'<p class="warning">{escape(text)}</p>')

    def numbers(self, values: Mapping[str, str]) -> None:
        """The most important figures: name -> value."""
        cards = "".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in values.items())
        self._parts.append(f'<div class="numbers">{cards}</div>')

    def table(
        self,
        title: str,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        aside: Sequence[Sequence[str]] = (),
        note: str = "",
    ) -> None:
        """Adds a table.

        Args:
            title: Heading.
            header: Names of the columns.
            rows: Cells of each row.
            aside: Rows that are not results of this run, such as published scores, in italics.
            note: Text below the table.
        """
        head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
        body = "".join(_row(row, "") for row in rows) + "".join(_row(row, ' class="aside"') for row in aside)
        words = f'<p class="muted">{escape(note)}</p>' if note else ""
        self._section(title, f"<table><tr>{head}</tr>{body}</table>{words}")

    def histogram(
        self,
        title: str,
        series: Mapping[str, Sequence[float]],
        *,
        bins: int = 20,
        limits: tuple[float, float] = (0.0, 1.0),
        label: str = "IoU",
    ) -> None:
        """Adds a histogram.

        Args:
            title: Heading.
            series: Values by name.
            bins: Number of equal bins.
            limits: Range of the bins.
            label: Of the x axis.
        """

        def draw(axes) -> None:
            axes.hist(list(series.values()), bins=bins, range=limits, label=list(series))
            axes.set(xlabel=label, ylabel="count")
            axes.yaxis.get_major_locator().set_params(integer=True)

        self._chart(title, draw, legend=len(series) > 1)

    def curve(
        self,
        title: str,
        series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
        *,
        x_label: str,
        y_label: str,
        y_limits: tuple[float, float] | None = None,
    ) -> None:
        """Adds a chart of lines.

        Args:
            title: Heading.
            series: (x, y) by name.
            x_label: Of the x axis.
            y_label: Of the y axis.
            y_limits: Range of the y axis; None to fit the values.
        """

        def draw(axes) -> None:
            for name, (x, y) in series.items():
                axes.plot(x, y, marker="o" if len(x) <= 40 else "", markersize=4, label=name)
            axes.set(xlabel=x_label, ylabel=y_label, ylim=y_limits)

        self._chart(title, draw, legend=len(series) > 1)

    def pictures(self, title: str, pictures: Sequence[tuple[str, np.ndarray]], *, side_by_side: bool = False) -> None:
        """Adds images with captions.

        Args:
            title: Heading.
            pictures: Captions and images, (H, W, 3) uint8 RGB.
            side_by_side: As many small ones in a row as the page is wide; else each has a row of its own.
        """
        figures = "".join(
            f'<figure><img src="{_data_uri(image)}" alt="{escape(caption)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
            for caption, image in pictures
        )
        content = f'<div class="grid">{figures}</div>' if side_by_side and figures else figures
        self._section(title, content or '<p class="muted">none</p>')

    def html(self) -> str:
        """The page."""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{_STYLE}</style></head><body>\n"
            + "\n".join(self._parts)
            + "\n</body></html>\n"
        )

    def write(self, path: Path) -> None:
        """Writes the page atomically.

        Args:
            path: The file, in a folder that exists.

        Raises:
            ConfigurationError: If it cannot be written.
        """
        write_text_atomically(path, self.html())

    def _section(self, title: str, content: str) -> None:
        self._parts.append(f"<section><h2>{escape(title)}</h2>{content}</section>")

    def _chart(self, title: str, draw, *, legend: bool) -> None:
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        # Equal input gives an equal file: ids by a fixed salt, no date.
        with rc_context({"svg.hashsalt": "lisa_ros", "svg.fonttype": "path"}):
            figure = Figure(figsize=(6.4, 3.2), layout="constrained")
            axes = figure.subplots()
            draw(axes)
            axes.grid(alpha=0.3)
            if legend:
                axes.legend(frameon=False)
            drawn = io.StringIO()
            figure.savefig(drawn, format="svg", metadata={"Date": None})
        svg = re.sub(r"^.*?(?=<svg)", "", drawn.getvalue(), flags=re.DOTALL)
        self._section(title, f'<div class="chart">{svg}</div>')


def percent(value: float | None) -> str:
    """A share for a table: "52.3"; "-" for None."""
    return "-" if value is None else f"{100 * value:.1f}"


def with_interval(value: float | None, interval: Sequence[float | None]) -> str:
    """A share with its 95% interval, in percent: "52.3 (48.0 to 56.1)"."""
    if value is None or interval[0] is None:
        return percent(value)
    return f"{percent(value)} ({percent(interval[0])} to {percent(interval[1])})"


def _row(cells: Sequence[str], attributes: str) -> str:
    return f"<tr{attributes}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _data_uri(image: np.ndarray) -> str:
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
