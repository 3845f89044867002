"""Downloads from a server of our own: good, corrupt, short and dying ones, and what they leave behind."""

import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from gpt.corpora import SOURCES, Source, fetch
from gpt.errors import DownloadError, UsageError

TEXT = b"".join(b"line %d of the corpus\n" % i for i in range(40_000))
DIGEST = "sha1:" + hashlib.sha1(TEXT).hexdigest()


def _zip(**members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return packed.getvalue()


GOOD = _zip(corpus=TEXT)
BODIES = {
    "/good.zip": GOOD,
    "/good.txt": TEXT,
    "/flipped.txt": TEXT[:-9] + b"X" + TEXT[-8:],
    "/flipped.zip": GOOD[:5000] + bytes([GOOD[5000] ^ 255]) + GOOD[5001:],
    "/other.zip": _zip(corpus=TEXT[:-1]),
    "/two.zip": _zip(a=TEXT, b=TEXT),
    "/page.zip": b"<html>Please log in</html>",
    "/dying.txt": TEXT,
    "/empty.txt": b"",
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        if self.path == "/hanging.txt":
            self.server.hang.wait(5)
            return
        body = BODIES.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/dying.txt" else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.requests, server.hang = [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.hang.set()
    server.shutdown()
    server.server_close()
    thread.join()


def _source(server, path, **changes):
    source = Source(server.url + path, "sub/corpus", size=len(TEXT), digest=DIGEST)
    return source._replace(**changes)


@pytest.mark.parametrize("path", ["/good.zip", "/good.txt"])
def test_a_good_download_is_put_in_place_once(server, tmp_path, path, capsys):
    source = _source(server, path, packed_size=len(BODIES[path]))
    target = fetch(source, tmp_path)
    assert target == tmp_path / "sub" / "corpus"
    assert target.read_bytes() == TEXT
    assert list(target.parent.iterdir()) == [target]
    assert "sub/corpus: 100%" in capsys.readouterr().err
    assert fetch(source, tmp_path) == target
    assert server.requests == [path]


@pytest.mark.parametrize(
    ("path", "changes", "message"),
    [
        ("/flipped.txt", {}, "expected sha1 [0-9a-f]+, got"),
        ("/flipped.zip", {}, "damaged or cut short"),
        ("/other.zip", {}, f"expected {len(TEXT)} bytes, got {len(TEXT) - 1}"),
        ("/two.zip", {}, r"exactly one file, got 2 \['a', 'b'\]"),
        ("/page.zip", {}, "cannot be unpacked"),
        ("/page.zip", {"packed_size": 100}, "gave 26 bytes of 100"),
        ("/dying.txt", {}, "gave [0-9]+ bytes of [0-9]+"),
        ("/dying.txt", {"size": None, "digest": None}, "gave [0-9]+ bytes of [0-9]+"),
        ("/empty.txt", {"size": None, "digest": None}, "expected some bytes, got 0"),
        ("/nothing.txt", {}, "404"),
        ("/hanging.txt", {}, "timed out"),
    ],
)
def test_a_bad_download_says_so_and_leaves_nothing(server, tmp_path, path, changes, message):
    with pytest.raises(DownloadError, match=message):
        fetch(_source(server, path, **changes), tmp_path, timeout=0.3)
    assert list((tmp_path / "sub").iterdir()) == []


def test_no_server(server, tmp_path):
    closed = f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match=r"cannot download .* fetch it elsewhere"):
        fetch(Source(closed + "/good.txt", "corpus"), tmp_path)


def test_an_interrupted_download_leaves_nothing(server, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("gpt.corpora.mismatch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(_source(server, "/good.zip"), tmp_path)
    assert list((tmp_path / "sub").iterdir()) == []


def test_a_wrong_file_that_is_there_is_named_and_kept(server, tmp_path):
    target = tmp_path / "sub" / "corpus"
    target.parent.mkdir()
    target.write_bytes(b"mine")
    with pytest.raises(UsageError, match=f"expected {len(TEXT)} bytes, got 4; move it away"):
        fetch(_source(server, "/good.zip"), tmp_path)
    assert target.read_bytes() == b"mine"
    assert server.requests == []


def test_the_table():
    assert list(SOURCES) == ["enwik8", "text8", "wikitext2"]
    for name in ("enwik8", "text8"):
        (source,) = SOURCES[name]
        assert source.size == 100_000_000
        assert source.url.endswith(f"/dc/{name}.zip")
    for sources in SOURCES.values():
        for source in sources:
            if source.digest is not None:
                algorithm, digest = source.digest.split(":")
                assert len(bytes.fromhex(digest)) == hashlib.new(algorithm).digest_size
