"""Which public names have no page: `python docs/sitekit/coverage.py` fails if there are any."""

import importlib
import re
import sys
from pathlib import Path

API = Path(__file__).parents[1] / "api"
ROOMS = (
    "dsptorch",
    "dsptorch.layers",
    "dsptorch.functional",
    "dsptorch.hyperparams",
    "dsptorch.meta",
    "dsptorch.audio",
    "dsptorch.surgery",
    "dsptorch.analysis",
    "dsptorch.testing",
    "dsptorch.testing.strategies",
    "dsptorch.integrations.huggingface",
    "dsptorch.integrations.lightning",
)
_SUMMARY = re.compile(r"^\.\. autosummary::\n(?:   :.*\n)*\n((?:   \w+\n)+)", re.M)


def named_by(text: str) -> set[str]:
    """The full names that a page of the reference makes pages for, or describes itself."""
    (module,) = re.findall(r"^\.\. currentmodule:: (\S+)$", text, re.M)
    names = {f"{module}.{name}" for block in _SUMMARY.findall(text) for name in block.split()}
    return names | set(re.findall(r"^\.\. auto(?:data|function|class):: (\S+)$", text, re.M))


def resolve(name: str) -> object:
    """The object that a full name stands for."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def without_page(pages: dict[str, str]) -> list[str]:
    """Public names whose object no page describes, and names on pages that are not there.

    Args:
        pages: The texts of the reference, by name.
    """
    named = {name for text in pages.values() for name in named_by(text)}
    there = {id(resolve(name)) for name in named}
    public = [f"{room}.{name}" for room in ROOMS for name in importlib.import_module(room).__all__]
    return [name for name in public if id(resolve(name)) not in there]


def pages() -> dict[str, str]:
    """The pages of the reference, as they stand in docs/api."""
    return {path.stem: path.read_text() for path in sorted(API.glob("*.rst")) if path.stem != "index"}


if __name__ == "__main__":
    if missing := without_page(pages()):
        sys.exit(f"public names without a page in docs/api: {', '.join(missing)}")
    print("every public name has a page")
