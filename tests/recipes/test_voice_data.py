"""The packages of the voices: read alike from everywhere, checked, and divided by the names of prompts."""

import io
import wave
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gpt.errors import UsageError
from torch import Tensor
from voice import data, source
from voice.codes import decode, encode
from voice.data import held_out, load, split
from voice.generate import write_wave
from voice.source import TRAINED, UNSEEN, VOICES, digest_of, prompts

from tests.recipes.debian import package

PACKAGES = Path(__file__).resolve().parents[3] / "shared" / "data"
NAMES = ("activated", "digits/1", "digits/2", "vm-goodbye", "hello-world", "letters/a")


def samples(seed: int, time: int = 40) -> Tensor:
    return torch.randint(-3000, 3000, (time,), generator=torch.Generator().manual_seed(seed)).short()


def sound(wanted: Tensor, *, rate: int = 8000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(channels)
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(wanted.numpy().astype("<i2").tobytes())
    return file.getvalue()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Tensor]]:
    """Prompts of our own, which the recipe takes for the packages'."""
    found = {
        voice: {name: samples(10 * v + n) for n, name in enumerate(sorted(NAMES))}
        for v, voice in enumerate(VOICES)
    }
    voices = {key: replace(VOICES[key], prompts=len(NAMES), digest=digest_of(found[key])) for key in VOICES}
    monkeypatch.setattr(source, "VOICES", voices)
    monkeypatch.setattr(data, "VOICES", voices)
    return found


def files(found: dict[str, Tensor], folder: str) -> dict[str, bytes]:
    silent = {f"usr/share/asterisk/sounds/{folder}/silence/1.wav": sound(torch.zeros(9).short())}
    return {f"usr/share/asterisk/sounds/{folder}/{name}.wav": sound(x) for name, x in found.items()} | silent


@pytest.fixture
def folder(made: dict[str, dict[str, Tensor]], tmp_path: Path) -> Path:
    """The folder with the packages."""
    place = tmp_path / "packages"
    place.mkdir()
    for key, voice in VOICES.items():
        (place / f"{voice.package}_1.6.1-1_all.deb").write_bytes(package(files(made[key], voice.folder)))
    return place


def same(found: dict[str, dict[str, Tensor]], expected: dict[str, dict[str, Tensor]]) -> bool:
    return list(found) == list(expected) and all(
        list(found[voice]) == list(expected[voice])
        and all(torch.equal(found[voice][name], expected[voice][name]) for name in expected[voice])
        for voice in expected
    )


def test_packages_and_installed_sounds_are_read_alike(
    made: dict[str, dict[str, Tensor]], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, voice in VOICES.items():
        for name, content in files(made[key], voice.folder).items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    installed = tmp_path / "root" / "usr" / "share" / "asterisk" / "sounds"
    assert same(prompts(folder), made)
    assert same(prompts(installed), made)
    monkeypatch.setattr(source, "INSTALLED", installed)
    assert same(prompts(None), made)


def spoil(place: Path, voice: str, content: bytes) -> None:
    next(place.glob(f"{VOICES[voice].package}_*")).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("activated", sound(samples(99)), r"expected the 6 prompts .*or other ones .*apt-get download"),
        ("activated", sound(samples(0), rate=16000), r"\(channels, bytes, Hz\) \(1, 2, 16000\)"),
        ("activated", sound(samples(0), channels=2), r"\(channels, bytes, Hz\) \(2, 2, 8000\)"),
        ("activated", b"RIFF", "damaged"),
        ("more", sound(samples(0)), "got 7, or other ones"),
    ],
)
def test_other_sounds_are_refused(
    made: dict[str, dict[str, Tensor]], folder: Path, name: str, content: bytes, says: str
) -> None:
    voice = VOICES["it"]
    found = files(made["it"], voice.folder) | {
        f"usr/share/asterisk/sounds/{voice.folder}/{name}.wav": content
    }
    spoil(folder, "it", package(found))
    with pytest.raises(UsageError, match=says):
        prompts(folder)


def test_a_damaged_or_missing_package_is_named(folder: Path, tmp_path: Path) -> None:
    whole = next(folder.glob(f"{VOICES['fr'].package}_*")).read_bytes()
    spoil(folder, "fr", whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"asterisk-core-sounds-fr-wav.*damaged or none.*apt-get download"):
        prompts(folder)
    with pytest.raises(UsageError, match=r"expected asterisk-core-sounds-en-wav in .*apt-get download"):
        load(tmp_path, tmp_path / "codes.pt")
    assert not (tmp_path / "codes.pt").exists()


def check_division(voices: dict[str, dict[str, Tensor]], divide) -> None:
    """No prompt of a training voice is on both sides, none is lost, and none of another voice is trained on."""
    corpus = divide(voices)
    training = corpus.train.unfold(0, 40, 40)
    for voice, found in voices.items():
        for name, codes in found.items():
            trained = bool((training == codes).all(1).any())
            assert trained == (voice in TRAINED and not held_out(name))
    assert len(corpus.train) + len(corpus.val) == sum(len(x) for v in TRAINED for x in voices[v].values())
    assert list(corpus.unseen) == list(UNSEEN)


@pytest.fixture
def voices() -> dict[str, dict[str, Tensor]]:
    return {
        voice: {f"prompt{i}": encode(samples(1000 * v + i)) for i in range(80)}
        for v, voice in enumerate(VOICES)
    }


def test_no_prompt_is_on_both_sides(voices: dict[str, dict[str, Tensor]]) -> None:
    assert 1 <= sum(map(held_out, voices["en"])) <= 10
    check_division(voices, split)


def test_a_division_that_trains_on_held_out_prompts_is_caught(voices: dict[str, dict[str, Tensor]]) -> None:
    def leaking(found):
        corpus = split(found)
        return replace(corpus, train=torch.cat([corpus.train, corpus.val[:40]]))

    with pytest.raises(AssertionError):
        check_division(voices, leaking)


def test_codes_are_kept_and_a_damaged_cache_is_named(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(data, "held_out", lambda name: name.startswith("digits"))
    cache = tmp_path / "out" / "codes.pt"
    corpus = load(folder, cache)
    again = load(tmp_path / "nowhere", cache)
    assert torch.equal(corpus.train, again.train)
    cache.write_bytes(cache.read_bytes()[:100])
    with pytest.raises(UsageError, match="got a damaged file"):
        load(folder, cache)


def test_codes_are_written_as_a_sound_file(tmp_path: Path) -> None:
    codes = encode(samples(0))
    write_wave(tmp_path / "x.wav", codes)
    with wave.open(str(tmp_path / "x.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        read = torch.frombuffer(bytearray(file.readframes(file.getnframes())), dtype=torch.int16)
    torch.testing.assert_close(read.double() / 2**15, decode(codes), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_packages(tmp_path: Path) -> None:
    if not list(PACKAGES.glob("asterisk-*.deb")):
        pytest.skip("no packages of prompts beside the repository")
    corpus = load(PACKAGES, tmp_path / "codes.pt")
    assert sum(map(len, (corpus.train, corpus.val))) == 34_230_347
