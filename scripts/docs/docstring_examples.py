"""For the pages of docstrings: their section is called "Example:", where mkdocstrings reads code under "Examples:"."""

import re

import griffe

_TITLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class DocstringExamples(griffe.Extension):
    """Renames the section while the code is read."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = _TITLE.sub(r"\1Examples:", obj.docstring.value)
