"""Check a built site: `python docs/sitekit/check_html.py docs/site` prints what is wrong, and fails if anything is.

Every page has one heading of the first order; every link within the site leads to a file, and to a place in it if it
names one; no code block is empty, and none ended early, so that code stands among the sentences; nothing is loaded from
elsewhere.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_VOID = {"img", "br", "hr", "link", "meta", "input", "source", "col", "wbr"}
_CODE = re.compile(r"```|^>>> |\n>>> ")
_WITHOUT_HEADING = {"search.html"}  # its heading is written by a program


class Page(HTMLParser):
    """The headings, anchors, links, code blocks and sentences of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings = 0
        self.anchors: set[str] = {"", "top"}
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.blocks: list[str] = []
        self.sentences: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names."""
        named = {name: value or "" for name, value in attrs}
        self.headings += tag == "h1"
        self.anchors |= {named[key] for key in ("id", "name") if key in named}
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        if tag in ("img", "script", "iframe") and "src" in named:
            self.loaded.append(named["src"])
        if tag == "link" and named.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(named["href"])
        if tag == "pre":
            self.blocks.append("")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close a tag, and what was left open in it."""
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Sort text into code and sentences."""
        if "pre" in self._open:
            self.blocks[-1] += data
        elif not {"code", "script", "style"} & set(self._open):
            self.sentences.append(data)


def check(pages: dict[str, Page], files: set[str]) -> list[str]:
    """What is wrong with a site.

    Args:
        pages: Every page by its path from the root.
        files: The paths of all files.
    """
    wrong = []
    for name, page in pages.items():
        if page.headings != 1 and name not in _WITHOUT_HEADING:
            wrong.append(f"{name}: {page.headings} headings of the first order")
        wrong += [f"{name}: an empty code block" for block in page.blocks if not block.strip()]
        wrong += [
            f"{name}: code among sentences: {text.strip()[:60]!r}"
            for text in page.sentences
            if _CODE.search(text)
        ]
        wrong += [
            f"{name}: loads {link}" for link in page.loaded if urlsplit(link).scheme in ("http", "https")
        ]
        for link in page.links + page.loaded:
            wrong += broken(name, link, pages, files)
    return wrong


def broken(name: str, link: str, pages: dict[str, Page], files: set[str]) -> list[str]:
    """Why a link of a page leads nowhere; nothing if it leads somewhere, or out of the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return []
    path = unquote(parts.path)
    target = str(Path(name).parent / path) if path else name
    target = "/".join(_resolved(target.split("/")))
    if target in ("", ".") or target.endswith("/"):
        target += "index.html"
    if target not in files:
        return [f"{name}: {link} leads to no file"]
    if target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return [f"{name}: {link} leads to no such place"]
    return []


def _resolved(parts: list[str]) -> list[str]:
    out: list[str] = []
    for part in parts:
        if part == "..":
            out = out[:-1]
        elif part not in ("", "."):
            out.append(part)
    return out


def main(root: Path) -> None:
    """Read a site, and say what is wrong."""
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    names = sorted(name for name in files if name.endswith(".html") and "/_static/" not in f"/{name}")
    pages = {name: Page((root / name).read_text()) for name in names}
    if not pages:
        sys.exit(f"{root}: there is no page")
    if wrong := check(pages, files):
        sys.exit("\n".join(dict.fromkeys(wrong)))
    print(f"{len(pages)} pages, {sum(len(page.links) for page in pages.values()):,} links: nothing is wrong")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
