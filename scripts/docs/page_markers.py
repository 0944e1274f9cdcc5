"""The comments in pages that people do not see in the repository: what a test does with a command, where a table comes.

<!-- not run: needs a camera -->      the block of commands below it is run by no test, for this reason
<!-- run: tests/cli/test_demo.py -->  ... is run by this test
<!-- table: parameters -->            the site has the table of parameters here
"""

import re

import parameter_page

NOT_RUN = re.compile(r"^( *)<!-- not run: (.+?) -->$", re.MULTILINE)
_RUN = re.compile(r"^ *<!-- run: .+? -->\n", re.MULTILINE)
_TABLES = {"parameters": parameter_page.parameters, "launch arguments": parameter_page.arguments}
_TABLE = re.compile(r"^<!-- table: (.+?) -->$", re.MULTILINE)


def readable_markers(markdown: str) -> str:
    """The page with what is not run said in words above the commands."""
    markdown = NOT_RUN.sub(r'\1<p class="not-run">No test runs this: \2.</p>\n', markdown)
    return _RUN.sub("", markdown)


def with_tables(markdown: str) -> str:
    """The page with its tables made from the code."""
    return _TABLE.sub(lambda match: _TABLES[match[1]](), markdown)
