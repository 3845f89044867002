"""Plans of paired runs, and the engine that makes them; the runs themselves are in test_gpt_verify_cli.py."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gpt.batches import sample_batch
from gpt.command_line import parse
from gpt.config import to_config, train_parser
from gpt.data import load_splits
from gpt.errors import CheckpointError, UsageError
from gpt.lock import claim
from gpt.train import learning_rate
from gpt.verification import engine
from gpt.verification.engine import RunsError, run_side_by_side, share
from gpt.verification.plan import Plan, Run, make_plan, read_plan, write_plan
from gpt.verification.verify import verify

from tests.recipes.verified import tiny_plan, write_files


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(engine, "POLL", 0.01)
    write_files(tmp_path)
    return tiny_plan(tmp_path)


def done(run: Run) -> bool:
    return (run.config.out / "result").exists()


def shell(seconds: float = 0.0, fails: str = "") -> Callable[[Run], list[str]]:
    """Return a stand-in for `train`, which says when it begins and ends, and with how many threads."""

    def command(run: Run) -> list[str]:
        out = run.config.out
        lines = [
            f"mkdir -p {out}",
            f"echo begin $OMP_NUM_THREADS >> {out.parent}/log",
            f"sleep {seconds}",
            f"echo end >> {out.parent}/log",
            f"echo it broke; exit {int(out.name == fails)}",
        ]
        if out.name != fails:
            lines.insert(3, f"echo made >> {out}/result")
        return ["sh", "-c", "; ".join(lines)]

    return command


def test_pairs_read_the_same_text_and_lengths_have_schedules_of_their_own(plan: Plan) -> None:
    runs = [*plan]
    assert [(run.steps, run.seed, run.arm) for run in runs[:4]] == [
        (8, 42, "base"),
        (8, 42, "treated"),
        (8, 123, "base"),
        (8, 123, "treated"),
    ]
    text = load_splits(runs[0].config.data).train
    for base, treated in zip(runs[::2], runs[1::2], strict=True):
        batches = [
            sample_batch(text, context=c.model.context, batch_size=c.batch_size, seed=c.seed, step=3)[0]
            for c in (base.config, treated.config)
        ]
        assert (batches[0] == batches[1]).all()
        for run in (base, treated):
            assert run.config == to_config(parse(train_parser(), run.arguments))
            last = learning_rate(run.steps, run.config)
            assert last == pytest.approx(run.config.lr * run.config.final_lr)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("batch_size: 8", "batch_size: expected one for all arms, .* got 4 in base and 8 in treated"),
        ("data: enwik8", "data: expected one"),
        ("model: {n_layer: 1, n_head: 2, d_model: 16, context: 8}", r"model\.context: expected one"),
    ],
)
def test_arms_that_would_not_see_the_same_text_are_refused(tmp_path: Path, line: str, words: str) -> None:
    write_files(tmp_path)
    with (tmp_path / "treated.yaml").open("a") as file:
        file.write(line)
    with pytest.raises(UsageError, match=words):
        tiny_plan(tmp_path)


def test_a_plan_is_read_back_and_other_arms_are_refused(plan: Plan, tmp_path: Path) -> None:
    write_plan(plan)
    assert [*read_plan(plan.folder)] == [*plan]
    write_plan(replace(plan, seeds=(1,), lengths=(5,)))  # other runs of the same arms
    assert read_plan(plan.folder).seeds == (1,)
    with pytest.raises(CheckpointError, match=r"expected the arms base, treated of the runs in .*, got base"):
        write_plan(replace(plan, arms={"base": plan.arms["base"]}))
    (tmp_path / "treated.yaml").write_text((tmp_path / "treated.yaml").read_text().replace("1e-2", "2e-2"))
    with pytest.raises(CheckpointError, match=r"lr: 0\.01 in the checkpoint, 0\.02 now"):
        write_plan(tiny_plan(tmp_path))


def test_without_a_length_it_is_that_of_the_baseline(plan: Plan) -> None:
    assert make_plan(plan.arms, None, (0,), plan.folder).lengths == (1000,)


def test_the_list_is_of_commands_that_make_the_runs(
    plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, treated = (str(tmp_path / f"{arm}.yaml") for arm in ("base", "treated"))
    monkeypatch.setattr("gpt.verification.verify.run_side_by_side", lambda *_, **__: pytest.fail("made"))
    verify(base, [treated], plan.seeds, plan.lengths, plan.folder, root=tmp_path, list=True)
    lines = capsys.readouterr().out.splitlines()
    for line, run in zip(lines, plan, strict=True):
        python, script, command, *arguments = line.split()
        assert (python, Path(script).resolve(), command) == ("python", engine.SCRIPT, "train")
        assert to_config(parse(train_parser(), arguments)) == replace(run.config, root=tmp_path)
    with pytest.raises(UsageError, match="treatment: expected files of other names than those of"):
        verify(base, [base], list=True)


@pytest.mark.parametrize("workers", [1, 3])
def test_as_many_runs_at_a_time_as_workers(plan: Plan, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(engine, "cores", lambda: 7)
    runs = [*plan]
    run_side_by_side(runs, workers=workers, finished=done, command=shell(0.03))
    at_work, most = 0, 0
    for line in (plan.folder / "log").read_text().splitlines():
        at_work += 1 if line.startswith("begin") else -1
        most = max(most, at_work)
        assert line in (f"begin {7 // workers}", "end")
    assert most == workers
    assert all((run.config.out / "result").read_text() == "made\n" for run in runs)
    run_side_by_side(runs, workers=workers, finished=done, command=lambda _: pytest.fail("made again"))


def test_what_the_user_chose_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert share(1, 4) == {"CUDA_VISIBLE_DEVICES": "3"}
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    monkeypatch.setattr(engine, "cores", lambda: 2)
    assert share(3, 4) == {"OMP_NUM_THREADS": "1"}


def test_a_run_that_fails_is_named_and_the_others_are_made(plan: Plan) -> None:
    runs = [*plan]
    with pytest.raises(RunsError, match=r"none of 1 \(treated, 8 steps, seed 42: it broke \(in "):
        run_side_by_side(runs, workers=2, finished=done, command=shell(fails=runs[1].config.out.name))
    assert [done(run) for run in runs] == [i != 1 for i in range(len(runs))]


def side_by_side_with_one_that_outlived(runs: Sequence[Run]) -> list[str]:
    """Make runs while the first is still made by a process that an earlier engine left; return what was made of it."""
    first = runs[0].config.out
    claimed = claim(first.with_name(first.name + ".lock"))
    assert claimed
    with claimed:
        orphan = subprocess.Popen(shell(0.3)(runs[0]), pass_fds=[claimed.fileno()])
    run_side_by_side(runs, workers=2, finished=done, command=shell())
    orphan.wait()
    return (first / "result").read_text().splitlines()


def test_a_run_that_outlived_its_engine_is_not_made_twice(plan: Plan) -> None:
    assert side_by_side_with_one_that_outlived([*plan]) == ["made"]


def test_a_claim_that_is_none_is_seen(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "claim", lambda path: path.open("a+"))
    assert side_by_side_with_one_that_outlived([*plan]) == ["made", "made"]


def test_two_engines_share_the_runs(plan: Plan) -> None:
    """As two machines with one folder would."""
    runs = [*plan]
    other = threading.Thread(
        target=run_side_by_side, args=(runs,), kwargs={"workers": 1, "finished": done, "command": shell(0.02)}
    )
    other.start()
    run_side_by_side(runs, workers=1, finished=done, command=shell(0.02))
    other.join()
    assert [(run.config.out / "result").read_text() for run in runs] == ["made\n"] * len(runs)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises, also in a process that was started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_the_engine_stops_its_runs(plan: Plan, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: os.kill(os.getpid(), number))
    started = []
    start = engine.start_process

    def remembered(*args: Any) -> Any:
        started.append(start(*args))
        return started[-1]

    monkeypatch.setattr(engine, "start_process", remembered)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run_side_by_side([*plan], workers=2, finished=done, command=lambda _: ["sleep", "30"])
    assert [process.returncode for process in started] == [-signal.SIGTERM] * 2
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_bar_counts_the_steps_of_all_runs(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [*plan]

    def train(run: Run) -> list[str]:
        out = run.config.out
        code = f"mkdir -p {out}; echo '{{\"step\": {run.steps}}}' > {out}/metrics.jsonl; touch {out}/result"
        return ["sh", "-c", code]

    run_side_by_side(runs[:3], workers=1, finished=done, command=train)
    run_side_by_side(runs, workers=1, finished=done, command=train)
    said = capsys.readouterr().err
    assert "/80 [" in said
    assert "| 80/80" in said
    assert "8 of 8 runs" in said
