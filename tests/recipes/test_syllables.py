"""Spoken syllables: the package, its labels, a fair split, and a small study as a user runs it."""

import json
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gpt.errors import UsageError
from spoken_syllables import main
from syllables import data, source, study
from syllables.arms import ARMS
from syllables.data import INITIALS, RATE, Clips, load, split
from syllables.model import pooled
from syllables.table import table
from syllables.train import TrainConfig, accuracies, train

from tests.recipes.debian import package

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "recipes" / "results" / "syllables"
PACKAGE = ROOT.parent / "shared" / "data" / "gcin-voice.deb"


def clips(bases: int = 24, voices: int = 2) -> Clips:
    """Tones of a frequency for each initial, which a network can tell apart, beside noise."""
    generator = torch.Generator().manual_seed(0)
    waves, labels = [], []
    for base in range(bases):
        for voice in range(voices):
            initial = base % 4
            time = torch.arange(2400 + 100 * (base % 5)) / RATE
            wave = torch.sin(2 * torch.pi * 400 * 2**initial * time)
            waves.append(0.2 * wave + 0.01 * torch.randn(len(time), generator=generator))
            labels.append((initial, base % 3, voice, base, len(time)))
    waveforms = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True).unsqueeze(-1)
    initials, tones, spoken, numbers, ends = torch.tensor(labels).unbind(1)
    return Clips(waveforms, ends, initials, tones, spoken, numbers)


def check_split(divide):
    found = clips()
    for seed in range(5):
        training, test = divide(found, seed)
        assert len(training) + len(test) == len(found)
        assert not set(training.bases.tolist()) & set(test.bases.tolist())


def test_no_syllable_is_on_both_sides():
    check_split(split)


def test_a_split_by_file_is_caught():
    def by_file(found, seed):
        order = torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))
        return found.at(order[12:]), found.at(order[:12])

    with pytest.raises(AssertionError):
        check_split(by_file)


def test_quarters_of_a_clip_and_its_maximum():
    y = torch.arange(8.0).reshape(1, 1, 8)
    assert pooled(y, torch.tensor([8]))[0].tolist() == [0.5, 2.5, 4.5, 6.5, 7]
    assert pooled(y, torch.tensor([4]))[0].tolist() == [0, 1, 2, 3, 3]  # what follows the clip counts nothing


@pytest.mark.parametrize("arm", ["mel", "gabor"])
def test_a_classifier_learns_what_can_be_told_and_nothing_else(arm):
    training, test = split(clips(), 0)
    config = TrainConfig(epochs=12, batch_size=8)
    assert accuracies(train(ARMS[arm], training, config, seed=0), test)["initials"] > 0.9
    labels = torch.randint(4, (24,), generator=torch.Generator().manual_seed(1))
    training, test = split(replace(clips(), initials=labels[clips().bases]), 0)  # planted: nothing to tell
    assert accuracies(train(ARMS[arm], training, config, seed=0), test)["initials"] < 0.8


@pytest.mark.parametrize("arm", ARMS)
def test_front_ends_stream(arm):
    front, x = torch.nn.Module.requires_grad_(ARMS[arm].energies(), False), 0.1 * torch.randn(1, 1600, 1)
    state, parts = None, []
    for chunk in x.split([1, 160, 0, 500, 939], 1):
        y, state = front.step(chunk, state)
        parts.append(y)
    assert torch.cat(parts, 1).shape == (1, 10, front.d_out)
    torch.testing.assert_close(torch.cat(parts, 1), front(x), rtol=1e-4, atol=1e-5)


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(study, "load", lambda source, cache: clips())


@pytest.mark.usefixtures("made")
def test_a_study_is_summed_up(tmp_path, capsys):
    out = ["--out", str(tmp_path)]
    main(["study", "--arms", "[mel, gabor]", "--seeds", "[0, 1]", "--epochs", "2", *out])
    text = (tmp_path / "table.md").read_text()
    assert capsys.readouterr().out == text
    results = json.loads((tmp_path / "results.json").read_text())
    assert [(run["arm"], run["seed"]) for run in results["runs"]] == [
        ("mel", 0),
        ("gabor", 0),
        ("mel", 1),
        ("gabor", 1),
    ]
    mean = sum(run["initials"] for run in results["runs"] if run["arm"] == "mel") / 2
    assert f" {100 * mean:.1f} ±" in text
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    before, after = (results["filters"]["gabor"][when] for when in ("before", "after"))
    assert len(before[0]) == len(after[0]) == 64
    assert before != after
    main(["cost", "--rounds", "1", *out])
    row = (tmp_path / "table.md").read_text().splitlines()[2]
    assert " 1.0 |" in row  # times mel's
    main(["report", *out])


def test_the_committed_table_is_that_of_the_committed_results():
    results = json.loads((COMMITTED / "results.json").read_text())
    costs = json.loads((COMMITTED / "cost.json").read_text())["costs"]
    text = (COMMITTED / "table.md").read_text()
    assert table(results, costs) + "\n" == text
    assert text in (ROOT / "docs" / "syllables.md").read_text()


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["study", "--arms", "[gabor]"], "mel with them, got"),
        (["study", "--arms", "[mel, bark]"], "got ['bark']"),
        (["study", "--epochs", "0"], "epochs: expected"),
        (["report", "--out", "nowhere"], "got no file"),
    ],
)
def test_refuses(arguments, says, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


def test_without_the_package_it_says_how_to_get_it(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["study", "--source", str(tmp_path / "none.deb"), "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert "apt-get download gcin-voice" in capsys.readouterr().err
    assert not (tmp_path / "clips.pt").exists()


def test_a_deb_and_a_folder_are_read_alike(tmp_path):
    files = {"ㄅㄚ/3": b"abc", "ㄅㄚ2/5": b"d"}
    made = package({f"usr/share/gcin-voice/ogg/{name}.ogg": content for name, content in files.items()})
    (tmp_path / "x.deb").write_bytes(made)
    for name, content in files.items():
        (tmp_path / "ogg" / name).parent.mkdir(parents=True)
        (tmp_path / "ogg" / f"{name}.ogg").write_bytes(content)
    assert dict(source._read(tmp_path / "x.deb")) == dict(source._read(tmp_path / "ogg")) == files
    with pytest.raises(UsageError, match=r"got 2, or other ones .*apt-get"):
        source.clips(tmp_path / "ogg")  # planted: sounds that are not the package's
    (tmp_path / "x.deb").write_bytes(made[:200])
    with pytest.raises(UsageError, match="damaged or none"):
        source.clips(tmp_path / "x.deb")


def test_a_damaged_cache_is_named(tmp_path):
    (tmp_path / "clips.pt").write_bytes(b"odd")
    with pytest.raises(UsageError, match="got a damaged file"):
        load(None, tmp_path / "clips.pt")


@pytest.mark.slow
def test_the_package(tmp_path):
    if not PACKAGE.exists():
        pytest.skip(f"no {PACKAGE.name} beside the repository")
    found = load(PACKAGE, tmp_path / "clips.pt")
    assert len(found) == 2334
    assert (len(found.bases.unique()), len(found.initials.unique())) == (414, len(INITIALS))
    assert found.tones.bincount().tolist() == [625, 479, 582, 648]
    again = load(None, tmp_path / "clips.pt")  # from the cache
    assert torch.equal(again.waveforms, found.waveforms)
    assert found.lengths.max() <= data.LONGEST


def check_page(page: str):
    """The page's sentences have the numbers of the results."""
    runs = json.loads((COMMITTED / "results.json").read_text())["runs"]
    words = " ".join(page.split())

    def less(arm: str, other: str) -> list[float]:
        pairs = [
            {run["seed"]: run["initials"] for run in runs if run["arm"] == name} for name in (arm, other)
        ]
        return [100 * (value - pairs[1][seed]) for seed, value in pairs[0].items()]

    better = less("mel_pcen", "mel")
    assert f"by {statistics.mean(better):.0f} points over the logarithm with every seed" in words
    assert min(better) > 0
    behind = less("mel", "cosine")
    assert f"within {statistics.mean(behind):.1f} ± {statistics.stdev(behind):.1f} points of mel" in words


def test_the_page_says_what_was_found():
    page = (ROOT / "docs" / "syllables.md").read_text()
    check_page(page)
    with pytest.raises(AssertionError):
        check_page(page.replace("within 2.4", "within 2.5"))
