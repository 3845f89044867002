"""The menu at the side of every page.

Furo asks Sphinx for the whole table of contents on every page and parses the answer as HTML, which is more than half of
the time of a build. Here the table is read once, and a page takes from it all entries of the first two levels, and the
deeper ones of its own branch. The HTML is Furo's.
"""

from collections.abc import Callable, Iterator
from html import escape
from itertools import count
from typing import Any, NamedTuple

_ARROW = '<span class="icon"><svg><use href="#svg-arrow-right"></use></svg></span>'
_OPEN_LEVELS = 2  # every page has the entries of these


class Entry(NamedTuple):
    """A page in the menu.

    Attributes:
        title: Its title.
        page: Its name; "" stands for all entries under one caption.
        below: The entries below it.
        pages: The names of the page and of all pages below it.
    """

    title: str
    page: str
    below: tuple["Entry", ...]
    pages: frozenset[str]


def read(env: Any, page: str) -> Iterator[Entry]:
    """The lists of pages that a page has, each as an entry whose title is the list's caption."""
    from sphinx import addnodes  # noqa: PLC0415

    for tree in env.tocs[page].findall(addnodes.toctree):
        below = []
        for title, child in tree["entries"]:
            if child in env.titles:
                deeper = tuple(entry for part in read(env, child) for entry in part.below)
                pages = frozenset({child}).union(*(entry.pages for entry in deeper))
                below.append(Entry(title or env.titles[child].astext(), child, deeper, pages))
        yield Entry(tree.get("caption") or "", "", tuple(below), frozenset().union(*(e.pages for e in below)))


def menu(lists: list[Entry], page: str, link: Callable[[str], str]) -> str:
    """The HTML of the menu of a page.

    Args:
        lists: What `read` found on the first page.
        page: The name of the page.
        link: From the name of a page to its address, relative to this page.
    """
    numbers = count(1)
    out = []
    for part in lists:
        if part.title:
            out.append(
                f'<p class="caption" role="heading"><span class="caption-text">{escape(part.title)}</span></p>'
            )
        out.append(_list(part, page, link, 1, numbers))
    return "\n".join(out)


def _list(part: Entry, page: str, link: Callable[[str], str], level: int, numbers: Iterator[int]) -> str:
    items = "\n".join(_item(entry, page, link, level, numbers) for entry in part.below)
    return f"<ul{_classes('current' if page in part.pages else '')}>\n{items}\n</ul>"


def _item(entry: Entry, page: str, link: Callable[[str], str], level: int, numbers: Iterator[int]) -> str:
    here, current = entry.page == page, page in entry.pages
    opened = entry.below and (level < _OPEN_LEVELS or current)
    title = escape(entry.title)
    names = (f"toctree-l{level}", current and "current", opened and "has-children", here and "current-page")
    out = f"<li{_classes(*names)}><a{_classes(here and 'current', 'reference internal')}"
    out += f' href="{"#" if here else link(entry.page)}">{title}</a>'
    if opened:
        name = f"toctree-checkbox-{next(numbers)}"
        out += f'<input aria-label="Toggle navigation of {title}" class="toctree-checkbox" id="{name}" name="{name}" '
        out += f'role="switch" type="checkbox"{" checked" if current else ""}/><label for="{name}">{_ARROW}</label>'
        out += _list(entry, page, link, level + 1, numbers)
    return f"{out}</li>"


def _classes(*names: Any) -> str:
    """The attribute for those classes that apply."""
    found = " ".join(name for name in names if name)
    return f' class="{found}"' if found else ""


def _read(app: Any, env: Any) -> None:
    app.menu_lists = list(read(env, app.config.root_doc))


def _without_table(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    context["toctree"] = lambda **options: ""


def _with_menu(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    def link(target: str) -> str:
        return str(app.builder.get_relative_uri(page, target))

    context["furo_navigation_tree"] = menu(app.menu_lists, page, link)


def setup(app: Any) -> dict[str, bool]:
    """Answer Furo's question with nothing, and set the menu after it."""
    app.connect("env-check-consistency", _read)
    app.connect("html-page-context", _without_table, priority=400)
    app.connect("html-page-context", _with_menu, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
