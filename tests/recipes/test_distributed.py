"""Two processes, of torchrun or of Fabric, make the numbers of one; each check has a planted bug."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gpt.arms import build
from gpt.config import TrainConfig, load_config
from gpt.errors import UsageError
from gpt.generate import generate, load_model
from gpt.lock import locked
from gpt.metrics import read_metrics
from gpt.parallel import launch, shard
from gpt.train import train

from tests.forked import Ended, run_processes
from tests.recipes.planted import RECIPES, STOPPED
from tests.recipes.test_gpt_train import killed, weights

SCRIPT = RECIPES / "gpt_enwik8.py"
PLANTED = Path(__file__).with_name("planted.py")
TINY = """
data: text
model: {n_layer: 2, n_head: 2, d_model: 32, context: 32}
arm: {multirate: {}, lfo_routing: {}, bottleneck: {}}
steps: 20
batch_size: 8
warmup: 5
eval_every: 10
checkpoint_every: 10
log_every: 1
accelerator: cpu
"""
CASES = {
    # A controller moves the hyperparameters.
    "ddp": ["--arm.fir={init: delays}", "--adaptive_dsp.enabled=true", "--adaptive_dsp.meta_update_every=2"],
    # Parameters that are frozen, and hyperparameters of one number, of which the second process holds nothing.
    "fsdp": ["--arm.token_shift=true", "--hyperparam_lr=3e-2"],
}
"""What each strategy is tried on."""

ROUNDING = 1e-5  # nats, of losses of about 5: float32 sums in another order, over 20 updates
each = pytest.mark.parametrize("strategy", CASES)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    Path("text").write_bytes(SCRIPT.read_bytes() * 4)


def one(strategy: str, out: str) -> TrainConfig:
    """Return the run of one process that `two` must equal."""
    return load_config([Path("tiny.yaml")], [*CASES[strategy], f"--out={out}"])


def command(strategy: str, out: str, *more: str) -> list[str]:
    return ["train", "--config=tiny.yaml", f"--strategy={strategy}", f"--out={out}", *CASES[strategy], *more]


def two(strategy: str, out: str, *more: str, program: tuple[str, ...] = (str(SCRIPT),)) -> Ended:
    """Run two processes in torchrun's environment, and return when they have ended."""
    return run_processes(*program, *command(strategy, out, *more), folder=Path.cwd(), processes=2)


def started(
    strategy: str, out: str, *more: str, launcher: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run what starts two processes by itself, and return when it has ended."""
    words = [sys.executable, *launcher, str(SCRIPT), *command(strategy, out, *more)]
    words += [] if launcher else ["--devices=2"]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def losses(out: str) -> dict[tuple[int, str], float]:
    return {
        (record["step"], name): record[name]
        for record in read_metrics(Path(out) / "metrics.jsonl")
        for name in ("train_loss", "val_loss", "meta_loss")
        if name in record
    }


def difference(out: str, other: str) -> float:
    """Return the largest difference of two runs' losses, at the steps that both have made."""
    first, second = losses(out), losses(other)
    both = first.keys() & second.keys()
    assert len(both) >= STOPPED
    return max(abs(first[place] - second[place]) for place in both)


@each
@pytest.mark.slow
def test_two_processes_equal_one_and_one_goes_on_from_two(strategy: str) -> None:
    whole, cut = one(strategy, "whole"), one(strategy, "cut")
    train(whole)
    stopped = two(strategy, "cut", program=(str(PLANTED), "stop"))
    assert "stopped" in stopped.stderr
    assert max(step for step, _ in losses("cut")) == STOPPED
    assert difference("cut", "whole") < ROUNDING
    train(replace(cut, resume=True))
    assert losses("cut").keys() == losses("whole").keys()
    assert difference("cut", "whole") < ROUNDING
    for name, weight in weights(whole).items():
        torch.testing.assert_close(weights(cut)[name], weight, atol=ROUNDING, rtol=0)


@each
@pytest.mark.slow
def test_two_processes_go_on_from_one(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = one(strategy, "whole"), one(strategy, "cut")
    train(whole)
    with monkeypatch.context() as patch:
        killed(cut, None, STOPPED, patch)
    # Of Fabric, which starts the second process; or of another launcher.
    resumed = (started if strategy == "ddp" else two)(strategy, "cut", "--resume=true")
    assert resumed.returncode == 0, resumed.stderr
    assert losses("cut").keys() == losses("whole").keys()
    assert difference("cut", "whole") < ROUNDING
    written = (generate(load_model(Path(out) / "checkpoint.pt"), b"def ", 20) for out in ("cut", "whole"))
    assert len(set(written)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "bug"), [("ddp", "equal_batches"), ("ddp", "own_gradients"), ("fsdp", "own_weights")]
)
def test_processes_that_do_not_work_together_are_caught(strategy: str, bug: str) -> None:
    train(one(strategy, "whole"))
    broken = two(strategy, "broken", program=(str(PLANTED), bug))
    assert broken.returncode == 0, broken.stderr
    assert difference("broken", "whole") > 100 * ROUNDING


@pytest.mark.slow
def test_the_leak_gate_stops_shards() -> None:
    leaky = two("fsdp", "leaky", "--arm.multirate={causal: false}")
    assert leaky.returncode != 0
    assert "looks ahead after step 0" in leaky.stderr
    assert not losses("leaky")


@pytest.mark.slow
def test_one_process_of_two_holds_the_lock_and_says_why_they_end() -> None:
    Path("run").mkdir()
    with locked(Path("run")):
        second = two("ddp", "run", "--resume=true")
    assert second.returncode == 1
    assert second.stderr.count("error: expected a folder that no other process uses, got run") == 1
    assert "Traceback" not in second.stderr
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    assert started("ddp", "run", "--resume=true", launcher=torchrun).returncode == 0


def test_a_batch_that_cannot_be_shared_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"multiple of processes x accumulate = 2 x 3, got 9"):
        launch(TrainConfig(batch_size=9, accumulate=3, devices=2))
    torchrun = {"TORCHELASTIC_RUN_ID": "0", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6"}
    for name, value in torchrun.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"= 6 x 1, got 8"):
        launch(TrainConfig(batch_size=8))


def test_hyperparameters_of_another_dtype_are_not_sharded() -> None:
    config = one("fsdp", "run")
    with pytest.raises(UsageError, match=r"got torch.bfloat16, torch.float32.*use 32-true or bf16-mixed"):
        shard(build(config.model, config.arm).bfloat16(), mesh=None)
