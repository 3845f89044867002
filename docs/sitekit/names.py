"""Public names in pages and docstrings lead to their pages, and code blocks end with their last line."""

import importlib
from functools import cache
from typing import Any

from docutils import nodes
from sphinx import addnodes

from sitekit.coverage import ROOMS, named_by, pages, resolve


@cache
def known() -> dict[str, str]:
    """Where each public name is described: by the name alone if that is clear, and by its full names."""
    described = {id(resolve(name)): name for text in pages().values() for name in named_by(text)}
    found: dict[str, set[str]] = {}
    for room in ROOMS:
        for name in importlib.import_module(room).__all__:
            target = described[id(resolve(f"{room}.{name}"))]
            found.setdefault(f"{room}.{name}", set()).add(target)
            if (
                room == "dsptorch" or name[0].isupper() or "_" in name
            ):  # `synthesis` alone may be a method's name
                found.setdefault(name, set()).add(target)
    return {name: min(targets) for name, targets in found.items() if len(targets) == 1}


def link_names(doctree: nodes.document, docname: str) -> None:
    """Make references of code that is a public name, outside of links and headings."""
    for node in list(doctree.findall(lambda n: isinstance(n, nodes.literal | nodes.title_reference))):
        text = node.astext()
        target = known().get(text.removesuffix("()"))
        inside = node.parent
        while inside is not None and not isinstance(
            inside, nodes.reference | nodes.title | addnodes.pending_xref
        ):
            inside = inside.parent
        code = nodes.literal(text, text)
        if target is None or inside is not None or docname.endswith(target):
            if isinstance(node, nodes.title_reference):
                node.replace_self(code)
            continue
        link = addnodes.pending_xref(
            "", code, refdomain="py", reftype="obj", reftarget=target, refdoc=docname
        )
        node.replace_self(link)


def trim_blocks(doctree: nodes.document) -> None:
    """Remove empty lines at the end of code blocks: in the sources they end a doctest."""
    for block in doctree.findall(lambda n: isinstance(n, nodes.literal_block | nodes.doctest_block)):
        text = block.astext()
        if text != text.rstrip():
            block.rawsource = text.rstrip()
            block.children = []
            block.append(nodes.Text(text.rstrip()))


def _read(app: Any, doctree: nodes.document) -> None:
    link_names(doctree, app.env.docname)
    trim_blocks(doctree)


def _bases(app: Any, name: str, obj: Any, options: Any, bases: list[type]) -> None:
    while any(base.__name__.startswith("_") for base in bases):
        bases[:] = [
            part for base in bases for part in (base.__bases__ if base.__name__.startswith("_") else (base,))
        ]


def setup(app: Any) -> dict[str, bool]:
    """Change every page as it is read."""
    app.connect("doctree-read", _read)
    app.connect("autodoc-process-bases", _bases)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
