"""text8's cleaning: raw Wikipedia XML to lower-case words, one space apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import overload

from .checkpoint import write_file
from .open_compressed import open_compressed
from .ranges import checked

_OPEN = re.compile(rb"<text\b[^>]*>")
_REDIRECT = re.compile(rb"#redirect", re.IGNORECASE)

# Applied to an article in this order: what one step leaves, the next relies on.
_STEPS: tuple[tuple[re.Pattern[bytes], bytes], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rb"&amp;", b"&"),  # first: the text of a dump is escaped, and entities in it twice
        (rb"&lt;", b"<"),
        (rb"&gt;", b">"),
        (rb"<ref[^<]*</ref>", b""),
        (rb"<[^>]*>", b""),  # other XHTML tags; what they enclose stays
        (rb"\[http:[^\] ]*", b"["),  # [http://... visible text]
        (rb"(?i)\|(?:thumb|left|right|\d+px)", b""),  # how an image is shown
        (rb"(?i)\[\[image:[^\[\]]*\|", b""),  # its name; the caption comes last
        (rb"(?i)\[\[category:([^|\]]*)[^\]]*\]\]", rb"[[\1]]"),
        (rb"\[\[[a-z-]*:[^\]]*\]\]", b""),  # the same article in other languages
        (rb"\[\[[^|\]]*\|", b"[["),  # [[article|visible text]]
        (rb"\{\{[^}]*\}\}", b""),  # templates
        (rb"\{[^}]*\}", b""),  # tables
        (rb"[\[\]]", b""),
        (rb"&[^;]*;", b" "),  # entities; in text8 too, a bare & takes all up to the next semicolon
    )
)

_NAMES = (b"zero", b"one", b"two", b"three", b"four", b"five", b"six", b"seven", b"eight", b"nine")


@overload
def text8_clean(xml: str) -> str: ...
@overload
def text8_clean(xml: bytes) -> bytes: ...
def text8_clean(xml: str | bytes) -> str | bytes:
    """Reduce a Wikipedia dump to the words that a reader sees, in a to z and single spaces.

    Only the text of articles is kept. Redirects, references, tags, templates, tables, addresses and links to
    other languages go; the visible text of links and the captions of images stay; digits are spelled out.

    Args:
        xml: MediaWiki XML; a ``str`` is taken as UTF-8.

    Shape:
        Output: of the type of ``xml``; every article begins with a space, as in text8.

    Example:
        >>> text8_clean("<page><text>The [[Nile|river]] is 6,650&amp;nbsp;km.</text></page>")
        ' the river is six six five zero km'

    References:
        Mahoney, "About the test data", 2006, mattmahoney.net/dc/textdata.html, which describes the steps.
    """
    raw = xml.encode() if isinstance(xml, str) else xml
    words = b"".join(clean_lines(raw.splitlines(keepends=True)))
    return words.decode("ascii") if isinstance(xml, str) else words


def clean_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Clean a dump of any size, holding one article at a time.

    Args:
        lines: The dump's lines, as an open binary file yields them.

    Yields:
        The words of each article, a space before each word.
    """
    for article in _articles(lines):
        if _REDIRECT.search(article):
            continue
        text = article
        for pattern, replacement in _STEPS:
            text = pattern.sub(replacement, text)
        text = re.sub(rb"[0-9]", lambda digit: b" " + _NAMES[int(digit[0])] + b" ", text.lower())
        words = re.findall(rb"[a-z]+", text)
        yield b"".join(b" " + word for word in words)


@checked
def clean(data: Path, out: Path) -> None:
    """Write a Wikipedia dump's text in text8's alphabet, a to z and single spaces.

    Args:
        data: the dump, MediaWiki XML: .gz, .bz2, .xz, .zip or plain.
        out: the file to write.
    """
    with open_compressed(data) as lines:
        words = b"".join(clean_lines(lines))
    write_file(out, words)
    print(f"{out}: {len(words):,} bytes")


def _articles(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what stands between <text ...> and </text>; the last may be cut short, as enwik8's is."""
    article: list[bytes] | None = None
    for line in lines:
        rest = line
        while rest:
            if article is None:
                opened = _OPEN.search(rest)
                if opened is None:
                    break
                rest = rest[opened.end() :]
                article = None if opened[0].endswith(b"/>") else []
            else:
                inside, closed, rest = rest.partition(b"</text>")
                article.append(inside)
                if closed:
                    yield b"".join(article)
                    article = None
    if article:
        yield b"".join(article)
