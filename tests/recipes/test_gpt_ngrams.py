import pytest
import torch
from gpt.arms import Arm, build
from gpt.errors import UsageError
from gpt.model import GPTConfig
from gpt.ngrams import MULTIPLIER, NgramEmbedding, ngram_hash
from torch import nn


@pytest.mark.parametrize("split", [False, True])
def test_a_row_for_the_last_bytes_together(split: bool) -> None:
    plain = nn.Embedding(256, 4)
    layer = NgramEmbedding(plain, (3, 2), 50, split=split)
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(layer(ids), plain(ids))  # the tables begin at zero
    for table in layer.tables:
        nn.init.normal_(table.weight)
    whole = torch.cat((torch.zeros(1, 2, dtype=torch.int64), ids), dim=1)
    of_three, of_two = (
        table.weight[ngram_hash(whole, n)[0, 3 - n :] % 50]
        for n, table in zip((3, 2), layer.tables, strict=True)
    )
    tables = torch.cat((of_three, of_two), dim=-1) if split else of_three + of_two
    torch.testing.assert_close(layer(ids)[0], plain(ids)[0] + tables)


def test_the_hash_depends_on_every_byte_and_on_their_order() -> None:
    number = ((5 + 1) * MULTIPLIER + 7 + 1) & 0xFFFF_FFFF
    assert ngram_hash(torch.tensor([[5, 7]]), 2).tolist() == [[number ^ (number >> 15)]]
    ids = torch.tensor([[1, 2, 3], [3, 2, 1], [1, 2, 4], [9, 2, 3], [1, 8, 3]])
    assert len(set(ngram_hash(ids, 3).flatten().tolist())) == 5
    pairs = torch.cartesian_prod(torch.arange(256), torch.arange(256))
    rows = (ngram_hash(pairs, 2).flatten() % 2048).bincount(minlength=2048)
    assert rows.min() > 0
    assert rows.max() < 4 * rows.float().mean()  # the rows share the pairs out


def test_the_tables_are_counted_and_the_head_stays_tied(shape: GPTConfig) -> None:
    plain = sum(p.numel() for p in build(shape, Arm()).parameters())
    for split, width in ((False, 16), (True, 8)):
        model = build(shape, Arm(ngrams={"orders": [2, 3], "buckets": 50, "split": split}))
        assert model.head.weight is model.embed.weight
        assert sum(p.numel() for p in model.parameters()) == plain + 2 * 50 * width


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"orders": []}, r"arm\.ngrams\.orders: expected different integers >= 2"),
        ({"orders": [2, 2]}, r"arm\.ngrams\.orders"),
        ({"orders": [1]}, r"arm\.ngrams\.orders"),
        ({"buckets": 0}, r"arm\.ngrams\.buckets: expected an integer >= 1, got 0"),
        (
            {"orders": [2, 3, 4], "split": True},
            r"arm\.ngrams\.split: expected a number of orders that divides",
        ),
        ({"order": [2]}, r"arm\.ngrams: got .*order"),
    ],
)
def test_what_cannot_be_is_refused(shape: GPTConfig, options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build(shape, Arm(ngrams=options))
