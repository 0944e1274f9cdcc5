"""The page of messages, services and action, from their files."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINDS = {".action": "Action", ".srv": "Service", ".msg": "Message"}
_PARTS = {".action": ("Goal", "Result", "Feedback"), ".srv": ("Request", "Response"), ".msg": ("Fields",)}
_FIELD = re.compile(
    r"^(?P<type>[\w/]+(?:\[[<=\d]*\])?)\s+(?P<name>\w+)\s*(?P<value>=\s*\S+)?\s*(?:#\s?(?P<about>.*))?$"
)


def page() -> str:
    """The whole page."""
    files = [path for suffix in KINDS for path in sorted((ROOT / suffix[1:]).glob(f"*{suffix}"))]
    head = "# Messages, services and action\n\nMade from the interface files when this site was built.\n"
    return head + "".join(_interface(path) for path in files)


def _interface(path: Path) -> str:
    lines = [f"\n## {path.stem}\n", f"{KINDS[path.suffix]} `lisa_ros/{path.suffix[1:]}/{path.stem}`.\n"]
    parts = re.split(r"^---$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for title, part in zip(_PARTS[path.suffix], parts, strict=True):
        if len(parts) > 1:
            lines.append(f"**{title}**\n")
        lines.append(_part(part))
    return "\n".join(lines)


def _part(text: str) -> str:
    """A request, a response or a whole message: paragraphs of its comments, and tables of its fields."""
    blocks: list[str] = []
    rows: list[list[str]] = []
    comment: list[str] = []

    def end_rows():
        if rows:
            table = "\n".join(f"| `{name}` | {kind} | {about} |" for name, kind, about in rows)
            blocks.append(f"| | type | |\n|---|---|---|\n{table}\n")
            rows.clear()

    def end_comment():
        if comment:
            blocks.append(" ".join(comment) + "\n")
            comment.clear()

    for line in text.splitlines():
        stripped = line.strip()
        if not stripped:
            end_rows()
            end_comment()
        elif stripped.startswith("#"):
            if rows and line.startswith(" "):  # the comment beside the field above goes on
                rows[-1][2] += " " + _cell(stripped.lstrip("# "))
            else:
                end_rows()
                comment.append(_text(stripped.lstrip("# ")))
        else:
            end_comment()
            field = _FIELD.match(stripped)
            if field is None:
                raise ValueError(f"no field of an interface: {line!r}")
            value = f" {field['value'].replace(' ', '')}" if field["value"] else ""
            rows.append([field["name"], f"`{field['type']}`{value}", _cell(field["about"] or "")])
    end_rows()
    end_comment()
    return "\n".join(blocks) or "Nothing.\n"


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _text(text: str) -> str:
    return text.replace("<", "&lt;").replace("[SEG]", "`[SEG]`")
