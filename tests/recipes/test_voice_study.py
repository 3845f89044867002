"""A small study of voices as a user runs it; and the committed one says what its table and its page say."""

import json
import math
import statistics
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import voice.generate
import voice.study
import voice.train
from gpt.checkpoint import write_text
from gpt.table import mean_and_spread
from voice.arms import ARMS
from voice.baselines import anchors, flac_bits
from voice.codes import LEVELS, decode, encode
from voice.data import Corpus
from voice.evaluate import APART, CONTEXT, ROW
from voice.hum import without_hum
from voice.source import RATE
from voice.table import table
from voice_bits import main

from tests.recipes.test_voice_model import buzz

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "recipes" / "results" / "voice_bits"
PART = CONTEXT + ROW


@pytest.fixture(scope="module")
def small() -> Corpus:
    made = buzz(5 * PART)
    train, val, french, italian, _ = made.split(PART)
    return Corpus(torch.cat([train, train]), val, {"fr": french, "menardi": italian})


@pytest.fixture
def corpus(small: Corpus, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    for module in (voice.study, voice.generate):
        monkeypatch.setattr(module, "load", lambda source, cache: small)
    monkeypatch.setattr(voice.study, "STREAMED", 40)  # for speed, as the next
    monkeypatch.setattr(voice.train, "GATED", 16)
    return small


def cells(text: str, label: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {label} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.slow
@pytest.mark.usefixtures("corpus")
def test_a_study_is_summed_up_and_its_model_speaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path)]
    main(["study", "--arms", "[shift]", "--seeds", "[0, 1]", "--steps", "2", *out])
    text = (tmp_path / "table.md").read_text()
    assert capsys.readouterr().out == text
    results = json.loads((tmp_path / "results.json").read_text())
    assert [(run["arm"], run["seed"]) for run in results["runs"]] == [
        ("shift", 0),
        ("shift", 1),
    ]
    one, other = (run["fr"] for run in results["runs"] if run["arm"] == "shift")
    assert cells(text, "token shift")[3] == f"{(one + other) / 2:.3f} ± {abs(one - other) / math.sqrt(2):.3f}"
    assert cells(text, "*LPC*")[2] == f"{results['anchors']['LPC']['val']:.3f}"
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")

    main(["cost", "--rounds", "1", *out])
    times = json.loads((tmp_path / "step_ms.json").read_text())["step_ms"]
    timed = (tmp_path / "table.md").read_text()
    assert (cells(text, "token shift")[6], cells(timed, "token shift")[6]) == ("", f"{times['shift']:.0f}")
    main(["hum", *out])
    found = json.loads((tmp_path / "hum.json").read_text())["bits"]
    both = (tmp_path / "table.md").read_text()
    assert both.startswith(timed.rstrip())
    assert f"{found['shift']['menardi']:.3f} |" in both.splitlines()[-1]
    main(["report", *out])
    assert (tmp_path / "table.md").read_text() == both

    model = ["--model", str(tmp_path / "shift.pt")]
    main(["generate", *model, "--prompt_seconds", "0.02", "--seconds", "0.005", *out])
    with wave.open(str(tmp_path / "generated.wav")) as file:
        assert file.getnframes() == 160 + 40


def test_arms_are_compared_seed_by_seed() -> None:
    found = {("shift", 0): 4.0, ("ema", 0): 3.5, ("ema", 1): 3.0, ("shift", 1): 3.25}
    runs = [
        {"arm": arm, "seed": seed, "parameters": 1, "val": bits, "fr": 1.0, "menardi": 1.0}
        for (arm, seed), bits in found.items()
    ]
    text = table({"anchors": {}, "runs": runs}, {}, {})
    assert cells(text, "EMA banks")[5] == "-0.375 ± 0.177"
    assert cells(text, "token shift")[5] == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "--arms", "[shift, nope]"], "['nope']"),
        (["study", "--arms", "[ema]"], "shift with them"),
        (["study", "--seeds", "[]"], "seeds: expected a sequence"),
        (["study", "--steps", "0"], "steps: expected an integer >= 1, got 0"),
        (["report", "--out", "/nowhere"], "nowhere/results.json, got no file"),
        (["generate", "--model", "nowhere.pt"], "expected a trained model in nowhere.pt"),
        (["generate", "--temperature", "-1"], "temperature: expected"),
    ],
)
@pytest.mark.usefixtures("corpus")
def test_what_the_user_can_set_right_is_said_without_a_traceback(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refusal: Callable[..., str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(main, arguments)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_without_the_packages_it_says_how_to_get_them(tmp_path: Path, refusal: Callable[..., str]) -> None:
    said = refusal(main, ["study", "--source", str(tmp_path / "none"), "--out", str(tmp_path)])
    assert "apt-get download asterisk-core-sounds-en-wav" in said


@pytest.mark.usefixtures("corpus")
def test_a_model_of_something_else_is_refused(tmp_path: Path, refusal: Callable[..., str]) -> None:
    write_text(tmp_path / "odd.pt", "odd")
    assert "expected a model of this recipe" in refusal(
        main, ["generate", "--model", str(tmp_path / "odd.pt")]
    )


def test_anchors_are_what_they_are_called(small: Corpus) -> None:
    found = anchors(small)
    counts = torch.bincount(small.train.long(), minlength=LEVELS).double() + 1
    entropy = -(counts / counts.sum() * (counts / counts.sum()).log2()).sum().item()
    assert found["order 0"]["val"] == pytest.approx(entropy, abs=0.3)  # as one part is like the other
    assert found["LPC"]["val"] < found["order 1"]["val"] < found["order 0"]["val"]
    noise = torch.randint(LEVELS, (PART,), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    silent = anchors(Corpus(small.train, noise, {"fr": torch.full_like(noise, 128), "menardi": noise}))
    assert all(silent[label]["val"] > 8 for label in ("order 0", "LPC"))  # noise has no shorter code
    assert 8 <= flac_bits(noise) < 8.2
    assert flac_bits(torch.full_like(noise, 128)) < 0.1


def committed() -> str:
    results, times, found = (
        json.loads((COMMITTED / name).read_text()) for name in ("results.json", "step_ms.json", "hum.json")
    )
    return table(results, times["step_ms"], found["bits"])


def test_the_committed_table_is_that_of_the_committed_numbers() -> None:
    text = (COMMITTED / "table.md").read_text()
    assert committed() + "\n" == text
    assert text in (ROOT / "docs" / "voice_bits.md").read_text()


def check_page(page: str) -> None:
    """The page's sentences have the numbers of the results."""
    results, found = (json.loads((COMMITTED / name).read_text()) for name in ("results.json", "hum.json"))
    words = " ".join(page.split())

    def of(arm: str, part: str = "val") -> list[float]:
        return [run[part] for run in results["runs"] if run["arm"] == arm]

    def saved(arm: str, less: str) -> str:
        return mean_and_spread([b - a for a, b in zip(of(arm), of(less), strict=True)], digits=3)

    bits = {label: f"{part['val']:.3f}" for label, part in results["anchors"].items()}
    assert f"LPC takes {bits['LPC']} bits" in words
    assert f"FLAC takes {bits['FLAC']} and order 1 takes {bits['order 1']}" in words
    lpc = results["anchors"]["LPC"]
    assert f"saves {lpc['val'] - statistics.mean(of('shift')):.3f} bits" in words
    assert f"save another {saved('dilated', 'shift')}, EMA banks {saved('ema', 'shift')}:" in words
    assert f"takes {saved('dilated', 'at_rate')} bits more on held-out" in words
    sizes = {run["arm"]: run["parameters"] for run in results["runs"]}
    assert f"has {sizes['at_rate'] / sizes['dilated']:.1f} times the learned numbers" in words
    drawn = results["config"]["steps"] * results["config"]["batch_size"] * results["config"]["window"]
    assert round(results["samples"]["train"] / drawn) == 8
    for arm in ARMS:
        assert max(of(arm, "fr")) < lpc["fr"] - 0.25
        assert min(of(arm, "menardi")) > lpc["menardi"] - 0.01
        assert all(found["bits"][arm][part] < found["bits"]["LPC"][part] for part in ("fr", "menardi"))
    minutes = results["samples"]["train"] / RATE / 60
    assert f"{minutes:.0f} minutes" in words


def test_the_page_says_what_was_found() -> None:
    check_page((ROOT / "docs" / "voice_bits.md").read_text())


def test_another_number_on_the_page_is_caught() -> None:
    page = (ROOT / "docs" / "voice_bits.md").read_text()
    with pytest.raises(AssertionError):
        check_page(page.replace("0.076 ± 0.002, EMA", "0.077 ± 0.002, EMA"))


def test_arms_were_compared_at_one_time_and_through_the_gates() -> None:
    times = json.loads((COMMITTED / "step_ms.json").read_text())["step_ms"]
    assert max(times.values()) < 1.15 * min(times.values())
    results = json.loads((COMMITTED / "results.json").read_text())
    assert all(run["stream_apart"] < APART for run in results["runs"])
    assert len(results["seeds"]) >= 5


def test_hum_is_taken_out_and_speech_is_not() -> None:
    time = torch.arange(16000, dtype=torch.float64) / RATE
    low, high = (0.2 * torch.sin(2 * math.pi * freq * time) for freq in (50, 600))
    both, alone = (encode((x * 2**15).short()) for x in (low + high, high))
    apart = decode(without_hum(both))[2000:] - decode(without_hum(alone))[2000:]
    assert apart.square().mean() < 2e-3 * low.square().mean()  # what is left is the rounding to codes
    assert decode(without_hum(alone))[2000:].square().mean() == pytest.approx(
        high.square().mean().item(), rel=0.02
    )
