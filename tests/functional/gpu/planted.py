"""Kernels with a planted bug, the source of a module of kernels with a few words changed; and kernels counted."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

import dsptorch.functional.gpu

FOLDER = Path(dsptorch.functional.gpu.__file__).parent / "kernels"


def plant(monkeypatch: pytest.MonkeyPatch, folder: Path, stem: str, old: str, new: str) -> None:
    """Let a module of kernels be another, in which every `old` is `new`; the modules that import it are read again."""
    name, source = f"dsptorch.functional.gpu.kernels.{stem}", (FOLDER / f"{stem}.py").read_text()
    assert old in source, f"{stem}.py has no {old!r} any more"
    path = folder / f"{stem}.py"  # triton reads the source from a file
    path.write_text(source.replace(old, new))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, name, module)
    for user in FOLDER.glob("*.py"):
        if f"kernels.{stem} import" in user.read_text():
            plant(monkeypatch, folder, user.stem, "", "")


def counted(monkeypatch: pytest.MonkeyPatch, stem: str, name: str) -> list[Any]:
    """The grids with which a kernel is launched from now on."""
    module = importlib.import_module(f"dsptorch.functional.gpu.kernels.{stem}")
    launched: list[Any] = []
    kernel = getattr(module, name)

    class Counted:
        def __getitem__(self, grid: Any) -> Any:
            launched.append(grid)
            return kernel[grid]

    monkeypatch.setattr(module, name, Counted())
    return launched
