import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gpt.arms import Arm
from gpt.config import TrainConfig
from gpt.data import Splits
from gpt.model import GPTConfig
from gpt.verification.plan import Plan, read_plan

from tests.recipes import verified

ARMS = {
    "plain": Arm(),
    "seed_blocks": Arm(multirate={}, lfo_routing={}, bottleneck={}),
    "fir": Arm(fir={"kernel_size": 6, "init": "delays"}),
    "token_shift": Arm(token_shift=True),
    "at_rate": Arm(at_rate={"blocks": [1], "factor": 4}),
    "rivals": Arm(canon={}, haar={"levels": 3}, ngrams={"orders": [2, 4], "buckets": 64, "split": True}),
}


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    """Tiny models gain nothing from threads, and lose much where other programs want the cores too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return what runs a command line that is to be refused in one line, and returns the line."""

    def run(main: Callable[[list[str]], None], arguments: list[str]) -> str:
        capsys.readouterr()  # of what came before
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code in (1, 2)
        lines = capsys.readouterr().err.strip().splitlines()
        assert [line.startswith("error: ") for line in lines] == [True], lines
        return str(lines[0])

    return run


@pytest.fixture(params=ARMS)
def arm(request: pytest.FixtureRequest) -> Arm:
    return ARMS[request.param]


@pytest.fixture
def shape() -> GPTConfig:
    return GPTConfig(n_layer=2, n_head=2, d_model=16, context=16)


@pytest.fixture
def splits() -> Splits:
    """Noisy cycles: something to learn."""
    noise = torch.randint(0, 2, (4000,), generator=torch.Generator().manual_seed(0))
    text = ((torch.arange(4000) % 7) * 11 + noise).to(torch.uint8)
    return Splits("cycles", text[:3600], text[3600:3800], text[3800:])


@pytest.fixture
def tiny(tmp_path: Path, shape: GPTConfig) -> Callable[..., TrainConfig]:
    """Return a maker of small runs, each in a folder of the test."""

    def make(out: str = "run", **changes: Any) -> TrainConfig:
        config = TrainConfig(
            out=tmp_path / out,
            steps=12,
            batch_size=4,
            lr=1e-2,
            warmup=2,
            eval_every=4,
            checkpoint_every=4,
            log_every=1,
            accelerator="cpu",
            model=replace(shape, dropout=0.1),
        )
        return replace(config, **changes)

    return make


@pytest.fixture(scope="session")
def paired_runs(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Two arms, two lengths, two seeds, all finished; read only."""
    folder = tmp_path_factory.mktemp("paired")
    verified.write_files(folder)
    plan = verified.tiny_plan(folder)
    verified.make(plan)
    return plan


@pytest.fixture
def results(paired_runs: Plan, tmp_path: Path) -> Path:
    """Return a folder of `paired_runs` that a test may spoil."""
    folder = tmp_path / "results"
    shutil.copytree(paired_runs.folder, folder)
    return read_plan(folder).folder
