"""What mkdocs calls while it builds the site: adds the pages that are made from the code, and leads links to them.

The pages of docs/ are written to be read in the repository; so their links lead to files there. On the site these are
pages too: README.md is the home, an interface is a part of the page of messages, any other file is shown as it is.
"""

import os
import posixpath
import re
import sys
from pathlib import Path

from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))  # mkdocs loads this file alone

import command_page
import interface_page
import parameter_page
import python_page
from page_markers import readable_markers, with_tables

ROOT = Path(__file__).resolve().parents[2]
README, HOME = "README.md", "index.md"
SHOWN = "files"  # folder of the site where files of the repository are shown
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[\w-]+)?(?=\))")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".xml": "xml", ".json": "json", ".sh": "bash", ".ipynb": "json"}


def on_files(files, config):
    """Adds the home page, those that are made from the code, and the files that pages link to."""
    pages = {
        HOME: (ROOT / README).read_text(encoding="utf-8"),
        "reference/messages.md": interface_page.page(),
        "reference/parameters.md": parameter_page.page(),
        "reference/commands.md": command_page.page(),
        "reference/python.md": python_page.page(),
    }
    for path in _linked_files():
        pages[_shown_as(path)] = _shown(path)
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Leads links of the repository to pages of the site, and says which commands no test runs."""
    uri = page.file.src_uri
    folder = ROOT if uri == HOME else (ROOT / "docs" / uri).parent
    if not uri.startswith((SHOWN, "reference")):
        markdown = with_tables(_LINK.sub(lambda match: _target(match, folder, uri), markdown))
    elif uri.startswith(SHOWN) and uri.endswith(".md.md"):
        source = ROOT / uri.removeprefix(f"{SHOWN}/").removesuffix(".md")
        markdown = _LINK.sub(lambda match: _target(match, source.parent, uri), markdown)
    return readable_markers(markdown)


def _target(match: re.Match, folder: Path, page: str) -> str:
    """A link of a page, as the site has it."""
    path, anchor = Path(os.path.normpath(folder / match[1])), match[2] or ""
    if not path.exists():
        return match[0]  # mkdocs names it
    if path.is_relative_to(ROOT / "docs"):
        uri = path.relative_to(ROOT / "docs").as_posix()
    elif path == ROOT / README:
        uri = HOME
    elif path.suffix in interface_page.KINDS:
        uri, anchor = "reference/messages.md", f"#{path.stem.lower()}"
    else:
        uri = _shown_as(path)
    return posixpath.relpath(uri, posixpath.dirname(page) or ".") + anchor


def _linked_files() -> set[Path]:
    """Files and folders of the repository outside docs/ that a page links to."""
    found, waiting = set(), [ROOT / README, *(ROOT / "docs").rglob("*.md")]
    while waiting:
        page = waiting.pop()
        for match in _LINK.finditer(page.read_text(encoding="utf-8")):
            path = Path(os.path.normpath(page.parent / match[1]))
            inside = path.is_relative_to(ROOT / "docs") or path == ROOT / README or path.suffix in interface_page.KINDS
            if path.exists() and not inside and path not in found:
                found.add(path)
                if path.suffix == ".md":
                    waiting.append(path)
    return found


def _shown_as(path: Path) -> str:
    return f"{SHOWN}/{path.relative_to(ROOT).as_posix()}.md"


def _shown(path: Path) -> str:
    """A page that shows a file, or lists a folder."""
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        lines = "\n".join(f"- `{one.relative_to(ROOT).as_posix()}`" for one in sorted(path.iterdir()) if one.is_file())
        return f"# {name}/\n\n{lines}\n"
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    return f"# {name}\n\n````{_LANGUAGES.get(path.suffix, 'text')}\n{text}\n````\n"
