"""The layer of docs/your_own_layer.md, as a reader would put it into a file, keeps the whole contract."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from dsptorch.testing import check_layer

PAGE = Path(__file__).parents[2] / "docs" / "your_own_layer.md"


def module_of(text, path):
    block = re.search(r"```python\n(>>> import torch\n.*?)```", text, re.S)[1]
    path.write_text(
        "".join(f"{line[4:]}\n" for line in block.splitlines() if line.startswith((">>>", "...")))
    )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_keeps_every_promise(tmp_path):
    verdicts = check_layer(module_of(PAGE.read_text(), tmp_path / "own_comb.py").Comb(4, lag=3))
    assert set(verdicts.values()) == {"ok"}


def test_without_its_mask_it_is_caught(tmp_path):
    text = re.sub(r"\.\.\. +late = late\.masked_fill.*\n", "", PAGE.read_text())
    assert text != PAGE.read_text()
    with pytest.raises(AssertionError, match="segments"):
        check_layer(
            module_of(text, tmp_path / "own_comb_bad.py").Comb(4, lag=3), skip=["compiles", "exports"]
        )
