"""benchmarks/beside.py, tiny, on a copy of this checkout: the structure of what it reports, and its failures."""

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--batch", "1", "--time", "16", "--d-model", "8", "--threads", "1", "--eager", "--repeats", "2"]
CONFIG = {"batch": 1, "time": 16, "d_model": 8, "threads": 1, "seed": 0, "compile": False, "cases": ["token"]}


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import benchmarks/beside.py as running it does."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("beside")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("beside_worker")


def checkout(folder: Path, more: str) -> Path:
    """A copy of the library with some lines more."""
    shutil.copytree(ROOT / "dsptorch", folder / "dsptorch", ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "dsptorch" / "__init__.py").open("a") as file:
        file.write(f"\n{more}\n")
    return folder


@pytest.mark.slow
def test_both_checkouts_run_every_arm(
    beside: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, output = checkout(tmp_path, "__version__ = '9'; print('noise')"), tmp_path / "beside.json"
    beside.main([*TINY, "--other", str(other), "--output", str(output)])
    result = json.loads(output.read_text())
    assert result["checkouts"]["this"]["dsptorch"] != result["checkouts"]["other"]["dsptorch"] == "9"
    modes = ("forward", "forward + backward")
    arms = {f"{mode}: {arm}" for mode in modes for arm in ("ours", "literal", "copy")}
    arms |= {"forward: ours, fold=True", "forward: ours, fold=False", "step: all five", "streaming: all five"}
    arms |= {f"step: {layer}" for layer in ("FIR", "Multirate", "Multirate, 2 levels")}
    arms |= {"step: LFORouting", "step: ChannelBottleneck"}
    for timings in result["milliseconds"].values():
        assert arms == set(timings)
        assert all(len(t["times"]) == 2 and min(t["times"]) >= 0 for t in timings.values())
    assert set(result["other / this"]) == arms
    for within in result["within"].values():
        assert {"forward: literal / ours", "forward + backward: ours / copy"} <= set(within)
    assert "| step: LFORouting " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("FIR.step = None", "TypeError: 'NoneType' object is not callable"),
        ("import os; FIR.step = lambda *_: os._exit(3)", "ended without an answer; exit code 3"),
    ],
)
def test_a_checkout_that_fails_is_named(beside: ModuleType, tmp_path: Path, more: str, said: str) -> None:
    other = checkout(tmp_path, more)
    with pytest.raises(SystemExit) as error:
        beside.main([*TINY, "--cases", "token", "--other", str(other)])
    assert f"other ({other})" in str(error.value)
    assert said in str(error.value)


def test_a_folder_without_the_library_is_refused(beside: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="has no dsptorch/"):
        beside.main([*TINY, "--other", str(tmp_path)])


def test_a_library_from_elsewhere_is_refused(beside: ModuleType, tmp_path: Path) -> None:
    with beside.Worker("this", ROOT, CONFIG) as process:
        process.root = tmp_path  # planted
        with pytest.raises(beside.WorkerError, match="this: expected dsptorch from"):
            process.start()


def test_the_two_take_turns(beside: ModuleType) -> None:
    log: list[str] = []

    class Fake:
        def __init__(self, label: str) -> None:
            self.label = label

        def run(self, arm: str, calls: int = 1) -> float:
            log.append(self.label)
            return 8.0

    beside.measure([Fake("A"), Fake("B")], ["arm"], 4)
    assert "".join(log) == "AB" + "ABBAABBA"  # the first two find how many calls a timing takes


def test_what_an_edition_lacks_is_told(worker: ModuleType) -> None:
    def lacking() -> None:
        raise AttributeError("no filter")

    calls = {"forward: ours": list, "forward: ours, fold=True": lacking}
    assert worker.prepare(calls) == {"forward: ours, fold=True": "AttributeError: no filter"}
    assert list(calls) == ["forward: ours"]
    with pytest.raises(AttributeError, match="no filter"):
        worker.prepare({"forward: ours": lacking})


def test_a_block_that_computes_something_else_is_not_timed(
    worker: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()

        def forward(self, x: Tensor) -> Tensor:
            return x  # planted

    monkeypatch.setattr(worker, "Literal", Wrong)
    with pytest.raises(RuntimeError, match="differs from the literal block"):
        worker.multirate_arms(CONFIG)
