"""The house keeps its order: imports run one way, files are short, public names are documented."""

import ast
import inspect
from pathlib import Path

import pytest

import dsptorch
import dsptorch.analysis
import dsptorch.audio
import dsptorch.functional
import dsptorch.integrations.huggingface
import dsptorch.integrations.lightning
import dsptorch.layers
import dsptorch.meta
import dsptorch.surgery
import dsptorch.testing
import dsptorch.testing.strategies

PACKAGE = Path(dsptorch.__file__).parent

# Each floor may import itself and the floors of the rows before its own.
FLOORS = [
    ("functional",),
    ("hyperparams",),
    ("isolation",),
    ("layers", "meta"),
    ("surgery", "analysis", "audio"),
    ("testing", "integrations"),
]
LEVEL = {name: level for level, row in enumerate(FLOORS) for name in row}


def imports(source: str) -> set[str]:
    """The modules that a source text imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "dsptorch"}
    return found


def check_imports(floor: str, source: str, kernels: bool = False) -> None:
    for name in imports(source):
        assert not name.startswith("."), f"relative import {name}"
        root, *rest = name.split(".")
        if root != "dsptorch":
            if floor == "functional":
                allowed = {
                    "torch",
                    "einops",
                    "math",
                    "collections",
                    "typing",
                    "dataclasses",
                    "fractions",
                    "functools",
                    "itertools",
                    "abc",
                    "weakref",
                    "contextlib",
                    "decimal",
                    "difflib",
                    "re",
                    "importlib",
                    "inspect",
                    *["triton"] * kernels,
                }
                assert root in allowed, name
            continue
        if not rest:
            continue  # its names follow, as dsptorch.<name>
        assert rest[0] in LEVEL, f"{name}: say from which floor"
        assert rest[0] == floor or LEVEL[rest[0]] < LEVEL[floor], f"{floor} imports {name}"


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__")


def test_imports_run_one_way():
    for path in FILES:
        floor = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        assert floor in LEVEL
        check_imports(floor, path.read_text(), kernels=path.parent.name == "kernels")


@pytest.mark.parametrize(
    ("floor", "source"),
    [
        ("functional", "from dsptorch.layers import FIR"),
        ("functional", "import dsptorch.hyperparams"),
        ("functional", "import numpy"),
        ("functional", "def f():\n    import triton.language"),
        ("layers", "def f():\n    from dsptorch.surgery import find"),
        ("layers", "import dsptorch.meta.x"),
        ("isolation", "from dsptorch.layers import Layer"),
        ("hyperparams", "from dsptorch.isolation import preserved"),
        ("meta", "from dsptorch import layers"),
        ("meta", "from dsptorch.layers import Layer"),
        ("surgery", "from dsptorch.testing import assert_causal"),
        ("surgery", "from dsptorch import FIR"),
        ("layers", "from .base import Layer"),
    ],
)
def test_imports_the_other_way_are_caught(floor, source):
    with pytest.raises(AssertionError):
        check_imports(floor, source)


FOLDERS = ("dsptorch", "tests", "recipes", "benchmarks")


def check_short(sources: dict[str, str]) -> None:
    long = {name: lines for name, text in sources.items() if (lines := len(text.splitlines())) > 300}
    assert not long, f"one idea a file, in 300 lines at most: {long}"


def test_files_are_short():
    root = PACKAGE.parent
    files = [path for folder in FOLDERS for path in (root / folder).rglob("*.py")]
    assert {path.relative_to(root).parts[0] for path in files} == set(FOLDERS)
    check_short({str(path.relative_to(root)): path.read_text() for path in files})


def test_a_long_file_is_caught():
    check_short({"x.py": "\n" * 300})
    with pytest.raises(AssertionError, match=r"'x.py': 301"):
        check_short({"x.py": "\n" * 301})


# Rooms of a floor, and the rooms beside themselves that they may import; "" is what lies at the floor's root.
ROOMS = {
    "surgery": {"": set(), "streams": {""}, "insertion": {"", "streams"}, "binding": {""}},
    "meta": {"": {"estimators"}, "estimators": set()},
    "testing": {"": {"_engine"}, "_engine": {""}, "strategies": set()},
}


@pytest.mark.parametrize("floor", ROOMS)
def test_rooms_import_each_other_one_way(floor):
    rooms = ROOMS[floor]
    for path in (PACKAGE / floor).rglob("*.py"):
        room, *rest = path.relative_to(PACKAGE / floor).parts
        room = room if rest else ""
        assert room in rooms, f"{path}: say which rooms it may import"
        for name in imports(path.read_text()) if path.stem != "__init__" else ():
            parts = name.split(".")
            if parts[:2] == ["dsptorch", floor] and len(parts) > 2:
                other = parts[2] if parts[2] in rooms else ""
                assert other == room or other in rooms[room], f"{path} imports {name}"


PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (
        dsptorch,
        dsptorch.functional,
        dsptorch.meta,
        dsptorch.surgery,
        dsptorch.analysis,
        dsptorch.audio,
        dsptorch.testing,
        dsptorch.testing.strategies,
        dsptorch.integrations.huggingface,
        dsptorch.integrations.lightning,
    )
    for name in module.__all__
    if callable(getattr(module, name))  # tables of numbers have no docstring
}
# What others return or derive from has no example of its own.
WITHOUT_EXAMPLE = {
    "Layer",
    "State",
    "Timeline",
    "FrequencyResponse",
    "Stream",
    *("LayerSummary", "Summary"),
    *("Estimate", "Estimator", "Losses", "MetaStep", "Rule"),
}


def check_documented(name, thing):
    doc = inspect.getdoc(thing)
    assert doc, name
    assert doc.splitlines()[0].endswith("."), f"{name}: one sentence first"
    if thing.__name__ not in WITHOUT_EXAMPLE:
        assert ">>> " in doc, f"{name} has no runnable example"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    check_documented(name, PUBLIC[name])


def test_an_undocumented_name_is_caught():
    def silent():
        pass

    def without_example():
        """Do something."""

    for thing in (silent, without_example):
        with pytest.raises(AssertionError):
            check_documented(thing.__name__, thing)


def test_every_public_name_is_there():
    for module in (dsptorch, dsptorch.functional, dsptorch.layers, dsptorch.surgery, dsptorch.testing):
        assert sorted(module.__all__) == sorted(set(module.__all__))
        for name in module.__all__:
            assert hasattr(module, name), f"{module.__name__}.{name}"
    assert set(dsptorch.layers.__all__) >= {"FIR", "Multirate", "LFORouting", "ChannelBottleneck"}


def test_layers_and_functional_share_stems():
    layers = {path.stem for path in (PACKAGE / "layers").glob("*.py")}
    functional = {path.stem for path in (PACKAGE / "functional").glob("*.py")}
    assert {"multirate", "lfo_routing", "resample"} <= layers & functional


def test_is_typed():
    assert (PACKAGE / "py.typed").exists()
