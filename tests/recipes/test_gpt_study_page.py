"""docs/study.md: each of its commands runs as it stands there, but for smaller models, and its names are there."""

import bz2
import re
import shlex
from pathlib import Path
from typing import Any

import gpt.verification.verify
import gpt_enwik8
import pytest
from gpt.config import CONFIGS, load_config
from gpt.train import train

ROOT = CONFIGS.parents[1]
LINES = [
    line
    for line in (ROOT / "docs" / "study.md").read_text().splitlines()
    if line.startswith("python recipes/")
]
FIGURES = [
    f"{name}.{suffix}"
    for name in (
        "enwik8_multi_seed_comparison",
        "enwik8_training_curves",
        "text8_multi_seed_comparison",
        "text8_training_curves",
        "training_efficiency_comparison",
    )
    for suffix in ("png", "svg")
]
TINY = """
model: {n_layer: 1, n_head: 2, d_model: 16, context: 16}
batch_size: 4
warmup: 2
eval_every: 2
log_every: 1
accelerator: cpu
"""


def smaller(line: str) -> list[str]:
    """Return a command of the page with a tiny model, a text at hand, two seeds and a few steps."""
    line = re.sub(r"(\w+)\.yaml", r"\1.yaml+tiny.yaml", line)
    line = line.replace("42 123 456 789 2024", "42 123").replace("42 123 456", "42 123")
    line = line.replace("--long-steps 4000 8000", "--long-steps 2 4").replace(
        "--long-steps 4000", "--long-steps 2"
    )
    _, script, command, *arguments = shlex.split(line)
    assert script == "recipes/gpt_enwik8.py"
    if command == "run":
        arguments = [part for argument in arguments for part in argument.split("+")]
        arguments += ["--steps", "2"]
    if command in ("run", "verify", "ablate"):
        arguments += ["--data", "enwik8.txt"]
    if command == "prepare":
        arguments[-1] += ".txt"
    if command in ("audit", "stack"):
        arguments += ["--page", f"{command}.md"]
    if command == "search":
        arguments = [{"1000": "2"}.get(argument, argument) for argument in arguments]
        arguments[arguments.index("--trials") + 1] = "trials.yaml"
        arguments += [
            "--reference",
            "rope+token_shift+tiny.yaml",
            "--base",
            "rope+tiny.yaml",
            "--data",
            "enwik8.txt",
        ]
    return [command, *arguments]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "trials.yaml").write_text("- {name: rival, arm: {fir: {}}}")
    (tmp_path / "enwiki.xml.bz2").write_bytes(bz2.compress(b"<text>Two [[word]]s</text>"))
    for name in ("enwik8", "text8", "wikitext2"):
        (tmp_path / f"{name}.txt").write_bytes(bytes(range(97, 123)) * 40)

    def in_this_process(runs: Any, **_: Any) -> None:
        for run in runs:
            train(run.config)

    monkeypatch.setattr(gpt.verification.verify, "run_side_by_side", in_this_process)
    return tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*cannot move:UserWarning")  # the study's own meta_lr
def test_every_line_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {smaller(line)[0] for line in LINES} == {"prepare", "run", *gpt_enwik8.COMMANDS} - {
        "quickstart",
        "generate",
        "study",
    }
    for line in LINES:
        command = smaller(line)
        if command[0] == "plot":  # "once text8 has been verified as enwik8 was"
            (verify,) = (part for part in LINES if " verify " in part and "--list" not in part)
            gpt_enwik8.main([part.replace("enwik8", "text8") for part in smaller(verify)])
        gpt_enwik8.main(command)
    results = folder / "results" / "verification" / "enwik8_verification"
    assert (folder / "enwiki_clean").read_bytes() == b" two words"
    assert (results / "analysis.md").exists()
    assert "rival" in (folder / "results" / "stack" / "trials.md").read_text()
    assert (results / "efficiency-train.md").exists()
    assert (folder / "results" / "ablation" / "analysis.md").exists()
    assert sorted(path.name for path in (folder / "figures").iterdir()) == FIGURES
    listed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("python ")]
    assert len(listed) == 2 * 2 * 2


def test_the_configurations_are_what_they_say() -> None:
    for text in ("enwik8", "text8"):
        base = load_config([CONFIGS / f"base_gpt_{text}.yaml"])
        treated = load_config([CONFIGS / f"dsp_example_multirate_{text}_adaptive.yaml"])
        laid = [CONFIGS / f"{name}.yaml" for name in (f"base_gpt_{text}", "seed_blocks", "adaptive_literal")]
        assert treated == load_config(laid)
        assert base.data == text
        learned = load_config([CONFIGS / "learned.yaml"])
        assert (base.model, base.lr, base.batch_size) == (learned.model, learned.lr, learned.batch_size)
    of_no_text = load_config([CONFIGS / "dsp_example_multirate_adaptive.yaml"])
    assert {**vars(of_no_text), "data": "text8"} == vars(treated)


def test_the_files_that_the_page_names_are_there() -> None:
    page = (ROOT / "docs" / "study.md").read_text()
    ours = re.findall(r"recipes/[\w/]+(?:\.\w+)?", page)
    assert len(ours) > 10
    assert [name for name in ours if not (ROOT / name).exists()] == []
