import math
from itertools import pairwise

import pytest
import torch
from gpt.errors import UsageError
from gpt.model import GPT, GPTConfig, KVCache
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

TINY = {"n_layer": 2, "n_head": 2, "d_model": 16, "context": 12}


def model(**changes: object) -> GPT:
    torch.manual_seed(0)
    gpt = GPT(GPTConfig(**{**TINY, **changes})).double().eval()
    for weight in gpt.parameters():  # at GPT-2's small initial weights every model is nearly the same
        weight.data.mul_(8.0)
    return gpt


def ids(length: int, batch: int = 2) -> Tensor:
    return torch.randint(0, 256, (batch, length), generator=torch.Generator().manual_seed(1))


def in_chunks(gpt: GPT, tokens: Tensor, sizes: list[int]) -> Tensor:
    cache = gpt.empty_cache()
    return torch.cat([gpt(chunk, cache) for chunk in torch.split(tokens, sizes, dim=1)], dim=1)


def test_default_size_and_tied_head() -> None:
    gpt = GPT(GPTConfig())
    assert sum(p.numel() for p in gpt.parameters()) == 820_352
    assert gpt.head.weight is gpt.embed.weight
    assert gpt(ids(256)).shape == (2, 256, 256)


def test_untrained_loss_is_that_of_guessing() -> None:
    gpt = GPT(GPTConfig())
    logits, targets = gpt(ids(64)), ids(64).flip(0, 1)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert abs(loss.item() - math.log(256)) < 0.1


@pytest.mark.parametrize("positions", ["rope", "learned"])
@torch.no_grad()
def test_no_logit_depends_on_a_later_token(positions: str) -> None:
    gpt, tokens = model(positions=positions), ids(12)
    for cut in range(1, 12):
        other = torch.cat((tokens[:, :cut], (tokens[:, cut:] + 1) % 256), dim=1)
        torch.testing.assert_close(gpt(other)[:, :cut], gpt(tokens)[:, :cut])
        assert not torch.allclose(gpt(other)[:, cut], gpt(tokens)[:, cut])


@pytest.mark.parametrize("positions", ["rope", "learned"])
@settings(max_examples=20, deadline=None)
@given(cuts=st.sets(st.integers(1, 11)))
@torch.no_grad()
def test_chunks_through_the_cache_equal_one_shot(positions: str, cuts: set[int]) -> None:
    gpt, tokens = model(positions=positions), ids(12)
    edges = [0, *sorted(cuts), 12]
    sizes = [b - a for a, b in pairwise(edges)]
    torch.testing.assert_close(in_chunks(gpt, tokens, sizes), gpt(tokens), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_cache_that_forgets_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    gpt, tokens, append = model(), ids(12), KVCache.append

    def forgetful(self: KVCache, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        whole = append(self, k, v)
        if self.kv is not None:
            self.kv = self.kv[:, :, :, -5:]
        return whole

    monkeypatch.setattr(KVCache, "append", forgetful)
    assert not torch.allclose(in_chunks(gpt, tokens, [1] * 12), gpt(tokens), atol=1e-2)


@pytest.mark.parametrize("sizes", [[1] * 40, [12, 12, 12, 4], [5, 7, 1, 12, 3, 12]])
@torch.no_grad()
def test_the_window_slides_past_the_context(sizes: list[int]) -> None:
    gpt, tokens = model(n_layer=1), ids(40)  # one layer: a logit sees one window and nothing through others
    streamed = in_chunks(gpt, tokens, sizes)
    for t in range(40):
        window = tokens[:, max(0, t - 11) : t + 1]
        torch.testing.assert_close(streamed[:, t], gpt(window)[:, -1], atol=1e-5, rtol=1e-5)


def test_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="at most context=12 tokens a call, got 13"):
        model()(ids(13))
    gpt = model(positions="learned")
    cache = gpt.empty_cache()
    gpt(ids(12), cache)
    with pytest.raises(ValueError, match="context=12 learned positions, got 13"):
        gpt(ids(1), cache)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_model": 20, "n_head": 4}, "multiple of 8"),
        ({"n_layer": 0}, r"model\.n_layer: expected an integer >= 1, got 0"),
        ({"positions": "alibi"}, "'alibi'"),
    ],
)
def test_a_shape_that_no_model_has_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        model(**changes)
