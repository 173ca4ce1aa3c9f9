"""Tables in Markdown pages that are printed from the committed rows, between a comment with the command and another.

<!-- python scripts/compare.py digits --table -->
<!-- end of table -->
"""

import re
from collections.abc import Mapping
from pathlib import Path

from utils.comparison.protocols import Protocol, chosen
from utils.comparison.rows import read_rows
from utils.comparison.selection import select
from utils.comparison.tables import markdown
from utils.errors import UserError

MARK = re.compile(
    r"(?P<begin><!-- python scripts/compare\.py (?P<name>\S+) --table(?: --methods (?P<methods>\S+))? -->\n)"
    r".*?(?P<end><!-- end of table -->)",
    re.DOTALL,
)


def refreshed(text: str, protocols: Mapping[str, Protocol], results: Path) -> str:
    """A page with its tables as the rows are now.

    Args:
        text: of the page.
        protocols: by name.
        results: folder of the rows.

    Raises:
        UserError: for a comment that names no protocol, or a method that it does not have.
    """

    def table(mark: re.Match) -> str:
        if mark["name"] not in protocols:
            raise UserError(f"a page has a table of {mark['name']}, which is no protocol")
        protocol = protocols[mark["name"]]
        methods = chosen(mark["methods"], list(protocol.methods), "--methods")
        rows = read_rows(results / f"{protocol.name}.csv")
        selection = select(protocol, rows, methods, protocol.seeds)
        command = f"python scripts/compare.py {protocol.name}"
        command += f" --methods {mark['methods']}" if mark["methods"] else ""
        return f"{mark['begin']}{markdown(selection, command)}\n{mark['end']}"

    return MARK.sub(table, text)
