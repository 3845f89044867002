"""A folder belongs to one run at a time, and to none when that is dead."""

import errno
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import gpt.lock
import pytest
from gpt.config import TrainConfig
from gpt.data import Splits
from gpt.errors import CheckpointError, UsageError
from gpt.lock import LOCK, locked
from gpt.train import train

from tests.recipes.planted import RECIPES

HOLD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from gpt.lock import locked
with locked(Path(sys.argv[2])):
    print("locked", flush=True)
    sys.stdin.read()
"""
REFUSED = (
    "expected a folder that no other process uses, got .*, where process [0-9]+ of .* is at work; wait for it"
)


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold the lock in another process."""
    command = [sys.executable, "-c", HOLD, str(RECIPES), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with held(tmp_path) as first:
        with pytest.raises(CheckpointError, match=REFUSED), locked(tmp_path):
            pass
        first.communicate("")  # it ends
        with locked(tmp_path):
            pass


def test_a_process_that_was_killed_leaves_no_lock(tmp_path: Path) -> None:
    with held(tmp_path) as first:
        first.send_signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        pass


def test_a_lock_that_is_none_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpt.lock, "_lock", lambda *_, **__: None)
    with locked(tmp_path), locked(tmp_path):
        pass


def test_it_waits_where_it_is_told_to(tmp_path: Path) -> None:
    with held(tmp_path) as first:
        assert first.stdin
        first.stdin.close()  # it ends, sooner or later
        with locked(tmp_path, wait=True):
            assert first.wait() == 0


@pytest.mark.parametrize("lacking", ["the module", "the file system"])
def test_a_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    if lacking == "the module":
        monkeypatch.setattr(gpt.lock, "fcntl", None)
    else:
        monkeypatch.setattr(gpt.lock.fcntl, "flock", unsupported)
    with pytest.warns(UserWarning, match="a second run in one folder would not be noticed"), locked(tmp_path):
        pass


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with (
            pytest.raises(UsageError, match=r"out: expected a folder, got .*, where a file is"),
            locked(path),
        ):
            pass


def test_a_run_is_refused_beside_another(tiny: Callable[..., TrainConfig], splits: Splits) -> None:
    """A new one and one that resumes, and neither changes a file."""
    train(tiny(), splits)
    before = {path.name: path.read_bytes() for path in tiny().out.iterdir() if path.is_file()}
    with locked(tiny().out):
        for config in (tiny(), replace(tiny(), resume=True)):
            with pytest.raises(CheckpointError, match=REFUSED):
                train(config, splits)
    del before[LOCK]
    assert all((tiny().out / name).read_bytes() == data for name, data in before.items())
    train(replace(tiny(), resume=True), splits)
