"""text8's cleaning, rule by rule, on XML written here; and a run over a real dump."""

import bz2
import re
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

import pytest
from gpt.clean import clean_lines, text8_clean
from hypothesis import given
from hypothesis import strategies as st

DUMP = Path(__file__).resolve().parents[3] / "shared" / "data" / "enwiki_head.xml.bz2"


def _page(text):
    return f'<page><title>no</title>\n<text xml:space="preserve">{text}</text>\n<sha1>no</sha1></page>\n'


@pytest.mark.parametrize(
    ("wiki", "words"),
    [
        ("Plain text.", " plain text"),
        ("Two\nlines\n\n'''bold''' ''it''", " two lines bold it"),
        ("year 1905, x2", " year one nine zero five x two"),
        ("a [[river]] and [[Nile|the Nile]]s", " a river and the niles"),
        ("see [http://example.org/a?b=1 the site], [http://example.org]", " see the site"),
        ("fact&lt;ref name=&quot;a&quot;&gt;Book, p. 3&lt;/ref&gt; more", " fact more"),
        ("H&lt;sub&gt;2&lt;/sub&gt;O &lt;br /&gt;wet", " h two o wet"),
        ("[[Image:Cat.jpg|thumb|right|200px|A [[cat]] sleeps]] so", " a cat sleeps so"),
        ("[[image:x.png]] so", " so"),
        ("[[Category:Old ships|Zeta]] [[Category:Boats]]", " old ships boats"),
        ("end [[de:Fluss]] [[zh-min-nan:Khe]]", " end"),
        ("{{Infobox|a=1\n|b=2}}text{{stub}}", " text"),
        ("{| class=wide\n|-\n| cell\n|}after", " after"),
        ("one&amp;nbsp;two &amp;mdash; three", " one two three"),
        ("AT&amp;amp;T", " at t"),
        ("naïve Ünder", " na ve nder"),
        ("x &lt; y &gt; z", " x z"),  # as text8 has it: what stands between < and > is a tag
        ("#REDIRECT [[Elsewhere]]", ""),
        ("#redirect [[Elsewhere]]", ""),
        ("", ""),
    ],
)
def test_rules(wiki, words):
    assert text8_clean(_page(wiki)) == words
    assert text8_clean(_page(wiki).encode()) == words.encode()


def test_only_text_elements_are_kept():
    dump = (
        _page("first") + '<page><text xml:space="preserve" /><comment>no</comment></page>\n' + _page("second")
    )
    assert text8_clean(dump) == " first second"
    assert text8_clean("<text>a</text><text>b</text>no") == " a b"  # several on a line
    assert text8_clean("<text>cut sho") == " cut sho"  # enwik8 ends within an article


@given(st.text(alphabet="ab1 <>&;[]{}|:#\n'é=/", max_size=60))
def test_whatever_comes_in_only_words_come_out(wiki):
    escaped = wiki.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    words = text8_clean(_page(escaped))
    assert _is_clean(words)
    assert text8_clean(_page(words)) == words  # cleaning twice changes nothing


def _is_clean(words):
    return re.fullmatch(r"(?: [a-z]+)*", words) is not None


def test_the_check_catches_double_spaces_and_digits():
    assert not any(map(_is_clean, (" a  b", " a1", " A", "a b", " a ", " é")))


def test_streams_one_article_at_a_time():
    pulled = []

    def endless():
        for line in cycle(_page("word " * 10).encode().splitlines(keepends=True)):
            pulled.append(line)
            yield line

    assert list(islice(clean_lines(endless()), 3)) == [b" word" * 10] * 3
    assert len(pulled) < 20


def test_real_dump():
    if not DUMP.exists():
        pytest.skip(f"no {DUMP.name} beside the repository")
    with bz2.open(DUMP) as lines:
        articles = list(clean_lines(lines))
    text = b"".join(articles).decode("ascii")
    assert 100 < len(articles) <= 206
    assert text.startswith(" anarchism is a political philosophy that advocates self governed societies")
    assert 2_000_000 < len(text) < 6_089_746
    assert _is_clean(text)
    common = [word for word, _ in Counter(text.split()).most_common(5)]
    assert set(common) >= {"the", "of", "and"}
    markup = Counter(text.split())
    assert markup["ref"] + markup["nbsp"] + markup["thumb"] < 1e-3 * markup.total()
