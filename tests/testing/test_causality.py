"""The public check finds a leak at any time, row and scale, and accuses nobody else."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import dsptorch
from dsptorch.testing import assert_causal, max_lookahead
from dsptorch.testing._engine.blame import phase_of

SIGNAL = torch.randn(1, 40, 4, generator=torch.Generator().manual_seed(0))
IDS = torch.randint(0, 11, (2, 24), generator=torch.Generator().manual_seed(0))


def shifted(x, by):
    """x[t + by]."""
    return F.pad(x, (0, 0, 0, by))[:, by:]


def attention(x, is_causal=False):
    return F.scaled_dot_product_attention(x, x, x, is_causal=is_causal)


class GRU(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.gru = nn.GRU(4, 4, batch_first=True, **options)

    def forward(self, x):
        return self.gru(x)  # a tuple: its first tensor counts


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 6, 3, padding=2)

    def forward(self, x):
        return self.conv(x.transpose(1, 2)).transpose(1, 2)[:, : x.shape[1]]


class Transformer(nn.Module):
    """Token ids in, logits out; with dropout and positions."""

    def __init__(self, causal=True):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.positions = nn.Embedding(24, 8)
        self.dropout = nn.Dropout(0.5)
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Linear(8, 11)
        self.causal = causal

    def forward(self, ids):
        x = self.dropout(self.embed(ids) + self.positions.weight[: ids.shape[1]])
        q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return {"logits": self.head(x + mixed.transpose(1, 2).flatten(2)), "loss": None}


@pytest.mark.parametrize("model", [lambda x: x.flip(1), GRU(bidirectional=True)], ids=["reversed", "GRU"])
def test_catches_both_ways_of_time(model):
    """All other leaks are in the gallery: test_gallery.py."""
    with pytest.raises(
        AssertionError, match=r"not causal: the output at time \d+ changed by .* from time \d+ on"
    ):
        assert_causal(model, SIGNAL)


HONEST = {
    "identity": lambda x: x,
    "constant": torch.ones_like,
    "running mean": lambda x: x.cumsum(1) / torch.arange(1, x.shape[1] + 1).unsqueeze(-1),
    "layer norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "causal attention": lambda x: attention(x, is_causal=True),
    "late": lambda x: F.pad(x, (0, 0, 3, 0))[:, :-3],
    "causal convolution": Conv(),
    "GRU": GRU(),
}


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_accuses_no_honest_model(name, scale):
    assert_causal(HONEST[name], SIGNAL * scale)


@pytest.mark.parametrize("vocab_size", [None, 11])
def test_token_ids(vocab_size):
    torch.manual_seed(0)
    assert_causal(Transformer(), IDS, vocab_size=vocab_size)
    with pytest.raises(AssertionError, match="not causal"):
        assert_causal(Transformer(causal=False), IDS, vocab_size=vocab_size)


def test_token_ids_that_leak_only_where_the_next_is_one_id():
    def peek(ids):
        return F.one_hot(ids, 11).float() + (F.pad(ids, (0, 1))[:, 1:] == ids[:, :1]).unsqueeze(-1)

    with pytest.raises(AssertionError):
        assert_causal(peek, IDS, vocab_size=11)


def test_replacements_stay_in_the_vocabulary():
    seen = []

    def model(ids):
        seen.append(ids)
        return F.one_hot(ids, 7)

    assert_causal(model, torch.zeros(1, 10, dtype=torch.int64), vocab_size=7)
    assert {int(i) for ids in seen for i in ids.unique()} <= set(range(7))
    assert len(torch.cat([ids.flatten() for ids in seen]).unique()) > 3


def test_every_cut_is_tested():
    """A leak at any one time is found, whatever its place."""
    for time in range(0, 39, 3):
        at = (torch.arange(40) == time).unsqueeze(-1)
        with pytest.raises(AssertionError, match=f"at time {time} .* from time {time + 1} on"):
            assert_causal(lambda x, at=at: x + at * shifted(x, 1), SIGNAL)


@pytest.mark.parametrize("ahead", [1, 2, 7])
def test_says_how_far_ahead(ahead):
    with pytest.raises(AssertionError, match=f"sees at least {ahead} samples ahead"):
        assert_causal(lambda x: x + shifted(x, ahead), SIGNAL)


def test_longer_than_one_pass():
    x = torch.randn(1, 150, 2)
    assert_causal(lambda x: x.cumsum(1), x)
    at = (torch.arange(150) == 140).unsqueeze(-1)
    with pytest.raises(AssertionError, match="at time 140"):
        assert_causal(lambda x: x + at * shifted(x, 1), x)


def test_every_row_is_tested():
    x = torch.stack([torch.zeros(12, 2), torch.ones(12, 2)])
    with pytest.raises(AssertionError):
        assert_causal(lambda x: x + (x[:, :1] == 1) * shifted(x, 1), x)


def test_outputs_that_are_not_finite_hide_nothing():
    """A masked logit is -inf: the limit must not become infinite with it."""

    def masked(x):
        return torch.cat([x.flip(1), torch.full_like(x, -torch.inf)], -1)

    example = torch.randn(1, 8, 2)
    with pytest.raises(AssertionError, match="not causal"):
        assert_causal(masked, example)
    assert_causal(lambda x: torch.cat([x, torch.full_like(x, -torch.inf)], -1), example)
    with pytest.raises(ValueError, match="NaN"):
        assert_causal(lambda x: x * torch.nan, example)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_a_leak_at_any_phase_of_sixteen_is_found_in_each_mode(mode):
    class Peek(nn.Module):
        def __init__(self, phase):
            super().__init__()
            self.phase = phase

        def forward(self, x):
            if self.training == (mode == "eval"):
                return x
            return x + 1e-4 * (torch.arange(x.shape[1]) % 16 == self.phase).unsqueeze(-1) * shifted(x, 1)

    for phase in range(16):
        with pytest.raises(AssertionError, match=rf"t mod 16 = {phase} do"):
            assert_causal(Peek(phase), torch.randn(1, 100, 2))


def test_phases():
    t = torch.arange(48)
    assert phase_of(t % 3 == 1) == "only outputs at times t with t mod 3 = 1 do"
    assert (
        phase_of((t % 8 != 7) & (t < 40)) == "only outputs at times t with t mod 8 in 0, 1, 2, 3, 4, 5, 6 do"
    )
    assert phase_of(t < 47) == ""
    assert phase_of(t == 5) == ""
    assert phase_of((t == 5) | (t == 9) | (t == 40)) == ""


def test_max_lookahead():
    assert max_lookahead(lambda x: x, SIGNAL) == 0
    assert max_lookahead(lambda x: x.flip(1), SIGNAL) == 39
    assert max_lookahead(lambda x: x - x.mean(0), torch.randn(3, 10, 2)) == 0  # mixed rows, but not times
    assert max_lookahead(Transformer(causal=False), IDS, vocab_size=11) == 23
    for ahead in (1, 5):
        assert max_lookahead(lambda x, by=ahead: x + shifted(x, by), SIGNAL) == ahead
    closed = dsptorch.Blend(dsptorch.FIR(4, 5, init=torch.ones(5, 4), causal=False))
    assert max_lookahead(closed, SIGNAL) == closed.lookahead == 2
    assert max_lookahead(closed, SIGNAL, jitter=False) == 0
