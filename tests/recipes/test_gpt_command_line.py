"""What the user can set right is said in one line that begins with "error: "; a bug shows its traceback."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpt_enwik8
import ppg_forecast
import pytest
import torch
from gpt.command_line import in_full

from tests.recipes.planted import RECIPES

TRAIN = ["train", "--data", "text", "--accelerator", "cpu", "--model.n_layer", "1"]
YAML = {
    "null": "lr: null",
    "section": "model: 3",
    "nothing": "arm: null",
    "latin": "out: caf\u00e9".encode("latin-1"),
    "nan": "lr: .nan",
    "list": "[1, 2]",
    "unclosed": "model: {n_layer: 2",
    "code": "lr: !!python/object/apply:os.getcwd []",
    "layer": "arm: {fir: {kernel_size: 0}}",
    "device": "arm: {fir: {device: nowhere}}",
    "hyperparam": "arm: {multirate: {mix_ratio: {init: 5, low: 0, high: 1}}}",
    "objective": "arm: {multirate: {}}\nadaptive_dsp: {enabled: true, meta_objective: best}",
}
WRONG: list[tuple[Callable[..., None], list[str], str]] = [
    (gpt_enwik8.main, [*TRAIN, "--clip", "-1"], "clip: expected a number >= 0, got -1.0"),
    (gpt_enwik8.main, [*TRAIN, "--final_lr", "-5"], "final_lr: expected a number in [0, 1], got -5.0"),
    (
        gpt_enwik8.main,
        [*TRAIN, "--seed", "99999999999999999999"],
        "seed: expected an integer in [0, 9223372036854775807]",
    ),
    (gpt_enwik8.main, [*TRAIN, "--steps", "x"], "int"),
    (
        gpt_enwik8.main,
        [*TRAIN, "--model.vocab_size", "10"],
        "model.vocab_size: expected 256 bytes or more, got 10",
    ),
    (gpt_enwik8.main, [*TRAIN, "--model.context", "1"], "model.context: expected an integer >= 2, got 1"),
    (gpt_enwik8.main, [*TRAIN, "--model.context", "100000"], "a shorter context"),
    (gpt_enwik8.main, [*TRAIN, "--accelerator", "tpu"], "'cpu', 'cuda', 'mps'"),
    (gpt_enwik8.main, [*TRAIN, "--precision", "half"], "'bf16-true'"),
    (gpt_enwik8.main, [*TRAIN, "--out", "text"], "out: expected a folder, got text, where a file is"),
    (gpt_enwik8.main, [*TRAIN, "--config", "null.yaml"], "lr: expected a value, got null"),
    (gpt_enwik8.main, [*TRAIN, "--config", "section.yaml"], "model: expected a mapping of its keys, got 3"),
    (gpt_enwik8.main, [*TRAIN, "--config", "nothing.yaml"], "arm: expected a mapping of its keys, got None"),
    (gpt_enwik8.main, [*TRAIN, "--config", "latin.yaml"], "can't decode byte 0xe9"),
    (gpt_enwik8.main, [*TRAIN, "--config", "nan.yaml"], "lr: expected a number > 0, got nan"),
    (gpt_enwik8.main, [*TRAIN, "--config", "list.yaml"], "[1, 2]"),
    (gpt_enwik8.main, [*TRAIN, "--config", "unclosed.yaml"], "did not find expected"),
    (gpt_enwik8.main, [*TRAIN, "--config", "code.yaml"], "could not determine a constructor"),
    (
        gpt_enwik8.main,
        [*TRAIN, "--config", "layer.yaml"],
        "arm.fir: got {'kernel_size': 0}, which dsptorch does not take",
    ),
    (gpt_enwik8.main, [*TRAIN, "--config", "device.yaml"], "arm.fir: got {'device': 'nowhere'}"),
    (gpt_enwik8.main, [*TRAIN, "--config", "hyperparam.yaml"], "arm.multirate: got"),
    (gpt_enwik8.main, [*TRAIN, "--config", "objective.yaml"], "adaptive_dsp: objective must be"),
    (gpt_enwik8.main, [*TRAIN, "--config", "missing.yaml"], "does not exist"),
    (gpt_enwik8.main, ["trian"], "'train'"),
    (gpt_enwik8.main, ["prepare", "--data", "nowhere"], "got 'nowhere'"),
    (gpt_enwik8.main, ["prepare", "--data", "enwik8", "--root", "text"], "text"),
    (gpt_enwik8.main, ["generate"], "checkpoint"),
    (gpt_enwik8.main, ["generate", "--checkpoint", "text"], "expected a checkpoint of this recipe"),
    (
        gpt_enwik8.main,
        ["generate", "--checkpoint", "text", "--top_k", "0"],
        "top_k: expected an integer >= 1, got 0",
    ),
    (
        gpt_enwik8.main,
        ["generate", "--checkpoint", "text", "--temperature", "-1"],
        "temperature: expected a number >= 0",
    ),
    (gpt_enwik8.main, ["quickstart", "--steps", "0"], "steps: expected an integer >= 1, got 0"),
    (gpt_enwik8.main, ["quickstart", "--out", "text"], "out: expected a folder"),
    (
        gpt_enwik8.main,
        ["study", "--data", "text", "--seeds", "[]"],
        "seeds: expected a sequence of one element or more",
    ),
    (gpt_enwik8.main, ["study", "--data", "text", "--seeds", "[0, 0]"], "each once, got [0, 0]"),
    (
        gpt_enwik8.main,
        ["study", "--data", "text", "--arms", "[]"],
        "arms: expected a sequence of one element or more",
    ),
    (gpt_enwik8.main, ["study", "--data", "text", "--arms", "[section.yaml]"], "model: expected a mapping"),
    (
        gpt_enwik8.main,
        ["study", "--data", "text", "--arms", "[rope]", "--out", "text"],
        "out: expected a folder",
    ),
    (gpt_enwik8.main, ["run", "null.yaml"], "lr: expected a value, got null"),
    (
        gpt_enwik8.main,
        ["verify", "--baseline", "rope", "--treatment", "rope", "--seeds", "1", "2"],
        "treatment: expected files of other names",
    ),
    (
        gpt_enwik8.main,
        ["verify", "--baseline", "rope", "--treatment", "fir", "--seeds", "1", "1", "--list"],
        "seeds: expected a sequence of one element or more, each once, got [1, 1]",
    ),
    (
        gpt_enwik8.main,
        ["verify", "--baseline", "rope", "--treatment", "nope", "--list"],
        "in the arm 'nope', got 'nope'",
    ),
    (gpt_enwik8.main, ["analyze", "nowhere"], "expected the results of verify or ablate in nowhere"),
    (ppg_forecast.main, ["cost", "--rounds", "0"], "rounds: expected an integer >= 1, got 0"),
    (ppg_forecast.main, ["cost"], "runs/ppg/results.json, got no file"),
    (ppg_forecast.main, ["report", "--out", "zeros"], "zeros/results.json, got a damaged file"),
    (ppg_forecast.main, ["report", "--out", "other"], "got other arms"),
    (ppg_forecast.main, ["tune", "--lrs", "[]"], "lrs: expected a sequence of one element or more"),
    (ppg_forecast.main, ["tune", "--seeds", "[]"], "seeds: expected a sequence"),
    (ppg_forecast.main, ["study", "--lr", "-1"], "lr: expected a number > 0, got -1.0"),
    (ppg_forecast.main, ["--threads", "0", "report"], "threads: expected an integer in [1, 1024], got 0"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("text").write_bytes(bytes(range(256)) * 40)
    for name, text in YAML.items():
        Path(f"{name}.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    for name, data in {"zeros": bytes(99), "other": json.dumps({"runs": [{"arm": "x"}]}).encode()}.items():
        Path(name).mkdir()
        (Path(name) / "results.json").write_bytes(data)
    return tmp_path


@pytest.mark.parametrize(
    ("main", "arguments", "words"), WRONG, ids=lambda part: " ".join(part) if isinstance(part, list) else ""
)
def test_what_the_user_can_set_right_is_one_line(
    main: Callable[..., None],
    arguments: list[str],
    words: str,
    folder: Path,
    refusal: Callable[..., str],
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert words in refusal(main, arguments)
    left = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    assert left == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.usefixtures("folder")
def test_an_accelerator_that_is_not_there(refusal: Callable[..., str]) -> None:
    assert "CUDAAccelerator" in refusal(gpt_enwik8.main, [*TRAIN, "--accelerator", "cuda"])


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, KeyError, AssertionError])
@pytest.mark.usefixtures("folder")
def test_a_bug_shows_its_traceback(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: Any) -> None:
        raise kind("of the library or of the user's own layer")

    monkeypatch.setattr(gpt_enwik8, "train", bug)
    with pytest.raises(kind, match="own layer"):
        gpt_enwik8.main(TRAIN)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(TRAIN, "with --resume true goes on"), (["study", "--data", "text"], "the same command goes on")],
)
@pytest.mark.usefixtures("folder")
def test_ctrl_c_says_how_to_go_on(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for name in ("train", "study"):
        monkeypatch.setattr(gpt_enwik8, name, interrupted)
    with pytest.raises(SystemExit, match="130"):
        gpt_enwik8.main(arguments)
    (line,) = capsys.readouterr().err.splitlines()[1:]  # after the end of the bar's line
    assert line.startswith("stopped by Ctrl-C: ")
    assert words in line


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    code = """
from gpt.command_line import one_line_errors
with one_line_errors():
    for _ in range(100_000):
        print("\u00b1 a line of a table")
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(RECIPES), "PYTHONIOENCODING": "ascii"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"? a line of a table\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


@pytest.mark.parametrize(
    ("written", "full"),
    [
        ("--seeds 1 23 --list", ["--seeds", "[1, 23]", "--list", "true"]),
        ("--seeds [1,23] --list false", ["--seeds", "[1,23]", "--list", "false"]),
        ("--seeds 7 --long-steps 8 --out a-b", ["--seeds", "[7]", "--long_steps", "[8]", "--out", "a-b"]),
        ("--lr=1e-3 --seeds=[1]", ["--lr=1e-3", "--seeds=[1]"]),
        ("a/b c-d --seeds -1", ['["a/b", "c-d"]', "--seeds", "[-1]"]),
        ("", []),
        ("--seeds", ["--seeds"]),
    ],
)
def test_arguments_as_the_study_writes_them(written: str, full: list[str]) -> None:
    assert in_full(written.split(), lists=("", "--seeds", "--long_steps"), flags=("--list",)) == full


def test_run_is_train_with_files(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(gpt_enwik8, "train", seen.append)
    rope, fir = (str(RECIPES / "configs" / f"{name}.yaml") for name in ("rope", "fir"))
    gpt_enwik8.main(["run", rope, fir, "--seed", "3"])
    gpt_enwik8.main(["train", "--config", rope, "--config", fir, "--seed", "3"])
    assert seen[0] == seen[1]
    assert (seen[0].seed, seen[0].arm.fir["kernel_size"]) == (3, 6)
