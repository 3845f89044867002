"""Splits of named corpora and of any file, and the quick start's honest choice."""

import bz2
import gzip
import hashlib
import lzma
import zipfile
from pathlib import Path

import pytest
import torch
from gpt.corpora import SOURCES, Source
from gpt.data import load_splits, prepare, quickstart_splits
from gpt.errors import DownloadError, UsageError
from gpt.stdlib_corpus import stdlib_corpus

TEXT = bytes(range(256)) * 40
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def _source(path, name, text=TEXT):
    return Source(path.as_uri(), name, size=len(text), digest="md5:" + hashlib.md5(text).hexdigest())


@pytest.fixture
def sources(tmp_path):
    """A table whose "server" is a folder."""
    server = tmp_path / "server"
    server.mkdir()
    table = {}
    for corpus, names in {"enwik8": ["enwik8"], "wikitext2": ["w/train", "w/valid", "w/test"]}.items():
        table[corpus] = ()
        for name in names:
            text = TEXT + name.encode()
            path = server / name.replace("/", "-")
            path.write_bytes(text)
            table[corpus] += (_source(path, name, text),)
    return table


def _bytes(part):
    return part.numpy().tobytes()


def _joined(splits):
    return b"".join(map(_bytes, splits[1:]))


def _write_zip(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)


def _packed(folder, suffix):
    path = folder / f"text{suffix}"
    if suffix == ".zip":
        _write_zip(path, text=TEXT)
    else:
        pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(suffix, bytes)
        path.write_bytes(pack(TEXT))
    return path


@pytest.mark.parametrize("suffix", ["", ".txt", ".gz", ".bz2", ".xz", ".zip"])
def test_any_file_is_split_90_5_5(tmp_path, suffix):
    path = _packed(tmp_path, suffix)
    splits = load_splits(path)
    assert splits.name == path.name
    assert [len(part) for part in splits[1:]] == [9216, 512, 512]
    assert _joined(splits) == TEXT
    assert splits.train.dtype == torch.uint8
    assert load_splits(str(path)).name == splits.name


@pytest.mark.parametrize(("place", "value"), [(10, 9), (8, 32), (8, 64), (6, 99)])
def test_a_zip_of_another_program_is_named(tmp_path, place, value):
    """Deflate64, patched data, strong encryption, another version: in the header of the file and in the directory."""
    path = _packed(tmp_path, ".zip")
    packed = bytearray(path.read_bytes())
    packed[place - 2] = value
    packed[packed.index(b"PK\1\2") + place] = value
    path.write_bytes(packed)
    with pytest.raises(
        UsageError, match=r"text.zip cannot be unpacked here .*; unpack it with what packed it"
    ):
        load_splits(path)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_file_is_named(tmp_path, suffix, damage):
    path = _packed(tmp_path, suffix)
    packed = path.read_bytes()
    path.write_bytes(packed[:-30] if damage == "cut" else b"this is plain text" * 9)
    with pytest.raises(UsageError, match=f"text{suffix} is damaged"):
        load_splits(path)


def test_other_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"one of enwik8, text8, .* got 'enwik9'"):
        load_splits("enwik9", tmp_path)
    with pytest.raises(FileNotFoundError, match="prepare enwik8 first"):
        load_splits("enwik8", tmp_path)
    with pytest.raises(FileNotFoundError, match="existing file"):
        load_splits(tmp_path)
    (tmp_path / "small").write_bytes(b"0123456789")
    with pytest.raises(UsageError, match="small has 10 bytes, too few"):
        load_splits(tmp_path / "small")
    for members in ({"a": TEXT, "b": TEXT}, {}):
        _write_zip(tmp_path / "many.zip", **members)
        with pytest.raises(UsageError, match=rf"many.zip must hold exactly one file, got {len(members)}"):
            load_splits(tmp_path / "many.zip")


def test_standard_splits_have_their_sizes(monkeypatch, tmp_path):
    (source,) = SOURCES["enwik8"]
    with (tmp_path / "enwik8").open("wb") as file:
        file.truncate(source.size)  # a hole: 100 MB that take no space
    table = {"enwik8": (source._replace(digest=None),)}
    splits = load_splits("enwik8", tmp_path, sources=table)
    assert [len(part) for part in splits[1:]] == [90_000_000, 5_000_000, 5_000_000]


def test_prepare_then_load(tmp_path, sources, capsys):
    splits = prepare("wikitext2", tmp_path, sources=sources)
    parts = [TEXT + name for name in (b"w/train", b"w/valid", b"w/test")]
    assert [_bytes(part) for part in splits[1:]] == parts
    assert "wikitext2, bytes: train 10,247, val 10,247, test 10,246" in capsys.readouterr().out
    again = load_splits("wikitext2", tmp_path, sources=sources)
    assert _joined(again) == _joined(splits)
    (tmp_path / "w" / "valid").write_bytes(TEXT)
    with pytest.raises(UsageError, match="expected 10247 bytes, got 10240; move it away"):
        load_splits("wikitext2", tmp_path, sources=sources)


def test_prepare_without_a_server(tmp_path, sources):
    Path(tmp_path / "server" / "w-test").unlink()
    with pytest.raises(DownloadError, match="fetch it elsewhere"):
        prepare("wikitext2", tmp_path, sources=sources)
    assert not (tmp_path / "w" / "test").exists()


def test_quickstart_says_what_it_uses(tmp_path, sources, capsys):
    for action in ("downloaded and verified", "found"):
        splits = quickstart_splits(tmp_path, sources=sources)
        assert splits.name == "enwik8"
        assert _joined(splits) == TEXT + b"enwik8"
        out = capsys.readouterr().out
        assert "DATA: enwik8" in out
        assert f"WHY:  it was {action}" in out


def test_quickstart_falls_back_and_says_why(tmp_path, sources, capsys):
    (tmp_path / "server" / "enwik8").unlink()
    splits = quickstart_splits(tmp_path, sources=sources)
    assert splits.name == "python-docs"
    out = capsys.readouterr().out
    assert "standard library (python-docs), NOT enwik8" in out
    assert "WHY:  enwik8 is not in" in out
    assert "No such file" in out


def test_quickstart_does_not_pass_over_a_wrong_enwik8(tmp_path, sources):
    (tmp_path / "enwik8").write_bytes(b"something else")
    with pytest.raises(UsageError, match="move it away"):
        quickstart_splits(tmp_path, sources=sources)


@pytest.mark.slow
def test_stdlib_corpus_is_the_same_every_time_and_a_mix():
    text = stdlib_corpus()
    assert text == stdlib_corpus()
    assert 4_000_000 < len(text) <= 6_000_000
    assert text.startswith(stdlib_corpus(100_000))
    tail = text[len(text) * 95 // 100 :]
    for part in (text[: len(tail)], tail):
        assert part.count(b"import ") > 30
        assert part.count(b"def ") > 100
    assert b'The "assert" statement' in text  # a help topic, as a reader sees it


def test_real_file():
    path = SHARED / "enwiki_head.xml.bz2"
    if not path.exists():
        pytest.skip(f"no {path.name} beside the repository")
    assert sum(len(part) for part in load_splits(path)[1:]) == 6_089_746


@pytest.mark.parametrize(("name", "part"), [("wikitext2/valid.txt", "valid"), ("wikitext2/test.txt", "test")])
def test_wikitext2_checksums(tmp_path, name, part):
    path = SHARED / f"wikitext2_{part}.txt.bz2"
    if not path.exists():
        pytest.skip(f"no {path.name} beside the repository")
    (source,) = (s for s in SOURCES["wikitext2"] if s.name == name)
    text = bz2.decompress(path.read_bytes())
    assert len(text) == source.size
    assert "sha256:" + hashlib.sha256(text).hexdigest() == source.digest
