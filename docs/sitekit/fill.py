"""Numbers in the README and on the pages, from the committed results: `python docs/sitekit/fill.py` writes them.

A block begins with `<!-- from: NAME -->` and ends with `<!-- end -->`; what stands between is the function NAME of
`sitekit.tables`. A test keeps the blocks true.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"(<!-- from: (\w+) -->\n).*?(<!-- end -->)", re.S)


def fill(text: str, tables: dict[str, Callable[[], str]]) -> str:
    """A page with every block written anew."""
    return _BLOCK.sub(lambda m: f"{m[1]}\n{tables[m[2]]()}\n\n{m[3]}", text)


def pages() -> list[Path]:
    """The pages that may have blocks."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "docs"))
    from sitekit.tables import TABLES

    for page in pages():
        old = page.read_text()
        if (new := fill(old, TABLES)) != old:
            page.write_text(new)
            print(f"wrote {page.relative_to(ROOT)}")
