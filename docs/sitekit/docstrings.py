"""Docstrings as the house writes them, made into what Sphinx reads.

An equation stands in a docstring as an indented block after an empty line. reStructuredText would take that for a
quotation, and the stars and bars in it for markup; here the block becomes literal text, and a star or a bar in a
sentence means itself.
"""

import re
from typing import Any

_SECTION = re.compile(r"^[A-Z][\w ,]*:$")  # "Args:", "Raises:": what follows, indented, is Napoleon's
_CODE = re.compile(r"(``.*?``|`[^`]*`)")


def literal_equations(lines: list[str]) -> list[str]:
    """Mark every indented block outside of a section as literal, and escape markup in sentences."""
    out: list[str] = []
    section = literal = doctest = False
    for i, line in enumerate(lines):
        indented = line.startswith("    ")
        if line and not indented:
            literal = False
            section = bool(_SECTION.match(line)) and i + 1 < len(lines) and lines[i + 1].startswith("    ")
        if indented and not section and not literal and not doctest and out and not out[-1].strip():
            before = next((text for text in reversed(out) if text.strip()), "")
            if not before.endswith("::") and not before.startswith(".. "):
                out += [".. code-block:: text", ""]
            literal = True
        doctest = bool(line.strip()) and (doctest or line.lstrip().startswith(">>>"))
        out.append(line if literal or doctest else escaped(line))
    return out


def escaped(line: str) -> str:
    """A sentence whose stars and bars mean themselves."""
    parts = _CODE.split(line)
    return "".join(part if i % 2 else re.sub(r"(?<!\\)([*|])", r"\\\1", part) for i, part in enumerate(parts))


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = literal_equations(lines)


def setup(app: Any) -> dict[str, bool]:
    """Register the change, before Napoleon's, and name attributes as the docstrings do."""
    from sphinx.domains.python import PyObject  # noqa: PLC0415

    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"  # as in the docstrings; Sphinx says "Variables"
    app.connect("autodoc-process-docstring", _process, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
