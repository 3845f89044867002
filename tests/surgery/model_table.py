"""Write docs/models_table.md: what holds for layers inserted into models that nobody here wrote.

python -m tests.surgery.model_table > docs/models_table.md
"""

import copy
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dsptorch import FIR, Chain, LFORouting, Multirate, fold, insert, remove, streaming
from dsptorch.testing import assert_causal
from dsptorch.testing._engine.run import output_of

WIDTH, TIME, VOCABULARY = 16, 12, 40
HEAD = """\
# Models and what holds for layers in them

Written by `python -m tests.surgery.model_table`, and kept true by `tests/surgery/test_model_table.py`. Small models
with random weights, in float64; the layer is `Chain(Multirate, LFORouting)`, or centred filters where the model is an
encoder. **insert**: copies do the same, and a plain checkpoint loads. **identity**: inserted with `identity=True` the
output is the same in every bit. **trains**: 20 steps of AdamW lower the loss, and move the layers. **streams**: in
chunks and token by token, on the model's own cache, it gives the numbers of the whole. **padding**: a padded row gives
the numbers of the row alone. **fold**: `fold` gives the same numbers. **export**: `torch.export`. **causal**:
`assert_causal`. **remove**: restores the model in every bit.
"""


class Place(NamedTuple):
    """A model and the place of the layer in it.

    Attributes:
        build: Builds the model.
        where: Where the layer goes.
        inputs: Makes an input of a number of rows and samples, from a seed.
        options: Of `insert`.
        causal: Whether the model is, so that it can stream.
        padded: Calls it with a mask (batch, time) of real samples; None: the model takes none.
        cache: Whether it streams by a cache of its own.
        no_stream: Why not, if it is causal.
        alone: Why a padded row of the plain model differs from the row alone, if it does.
        no_export: Why the plain model does not export, if so.
    """

    build: Callable[[], nn.Module]
    where: str
    inputs: Callable[[int, int, int], Tensor]
    options: Mapping[str, Any] = MappingProxyType({})
    causal: bool = False
    padded: Callable[[nn.Module, Tensor, Tensor], Any] | None = None
    cache: bool = False
    no_stream: str = ""
    alone: str = ""
    no_export: str = ""


def ids(rows: int, time: int, seed: int) -> Tensor:
    return torch.randint(2, VOCABULARY, (rows, time), generator=torch.Generator().manual_seed(seed))


def signal(rows: int, time: int, seed: int) -> Tensor:
    return torch.randn(rows, time, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def hidden(config: str, model: str, **kwargs: Any) -> nn.Module:
    import transformers

    built: nn.Module = getattr(transformers, model)(getattr(transformers, config)(**kwargs))
    return built


LLAMA = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "hidden_size": WIDTH,
    "intermediate_size": 32,
    "vocab_size": VOCABULARY,
}
BERT = {**LLAMA, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def by_attention_mask(model: nn.Module, x: Tensor, real: Tensor) -> Any:
    return model(x, attention_mask=real.long(), position_ids=(real.long().cumsum(1) - 1).clamp(min=0))


def by_padding_mask(model: nn.Module, x: Tensor, real: Tensor) -> Any:
    return model(x, src_key_padding_mask=~real)


class Wrapped(nn.Module):
    """A signal in, the first output out, in other layouts where the inner model has them."""

    def __init__(self, model: nn.Module, before: Callable[..., Any] = lambda x: (x,)) -> None:
        super().__init__()
        self.inner, self.before = model, before

    def forward(self, x: Tensor) -> Any:
        return self.inner(*self.before(x))


class Transposed(nn.Module):
    """(batch, time, channels) around what takes (time, batch, channels), or (batch, channels, time)."""

    def __init__(self, inner: nn.Module, first: int, second: int) -> None:
        super().__init__()
        self.inner, self.dims = inner, (first, second)

    def forward(self, x: Tensor, src_key_padding_mask: Tensor | None = None) -> Tensor:
        mask = {} if src_key_padding_mask is None else {"src_key_padding_mask": src_key_padding_mask}
        y: Tensor = self.inner(x.transpose(*self.dims), **mask)
        return y.transpose(*self.dims)


def conv_net() -> nn.Module:
    """Causal, on (batch, channels, time)."""

    class Causal(nn.Conv1d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(nn.functional.pad(x, (2, 0)))

    return Transposed(nn.Sequential(Causal(WIDTH, WIDTH, 3), nn.GELU(), Causal(WIDTH, WIDTH, 3)), 1, 2)


class Images(nn.Module):
    """A net on images, (batch, time, WIDTH) seen as one row of pixels a channel: (batch, WIDTH, 2, time)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.GELU(), nn.Conv2d(WIDTH, WIDTH, 1))

    def forward(self, x: Tensor) -> Tensor:
        image = torch.stack([x, 2 * x], 2).permute(0, 3, 2, 1)  # (batch, WIDTH, 2, time)
        y: Tensor = self.net(image).mean(2).transpose(1, 2)
        return y


def conformer() -> nn.Module:
    from torchaudio.models import Conformer

    return Conformer(WIDTH, 2, 32, 2, 3)


def encoder_layer(batch_first: bool) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 32, 0.0, batch_first=batch_first)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def recipe_gpt() -> nn.Module:
    from gpt.model import GPT, GPTConfig

    return GPT(GPTConfig(vocab_size=VOCABULARY, n_layer=2, n_head=2, d_model=WIDTH, context=64))


PLACES: dict[str, Place] = {
    "transformers GPT-2": Place(
        lambda: hidden(
            "GPT2Config",
            "GPT2LMHeadModel",
            n_layer=2,
            n_head=2,
            n_embd=WIDTH,
            vocab_size=VOCABULARY,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        ),
        "transformer.h.*",
        ids,
        causal=True,
        padded=by_attention_mask,
        cache=True,
    ),
    "transformers Llama": Place(
        lambda: hidden("LlamaConfig", "LlamaForCausalLM", **LLAMA),
        "model.layers.*",
        ids,
        causal=True,
        padded=by_attention_mask,
        cache=True,
    ),
    "transformers Qwen2": Place(
        lambda: hidden("Qwen2Config", "Qwen2ForCausalLM", **LLAMA),
        "model.layers.*.mlp",
        ids,
        causal=True,
        padded=by_attention_mask,
        cache=True,
    ),
    "transformers BERT": Place(
        lambda: hidden("BertConfig", "BertModel", **BERT),
        "encoder.layer.*",
        ids,
        padded=by_attention_mask,
    ),
    "transformers Whisper encoder": Place(
        lambda: Wrapped(
            hidden(
                "WhisperConfig",
                "WhisperModel",
                d_model=WIDTH,
                encoder_layers=2,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=32,
                decoder_ffn_dim=32,
                num_mel_bins=WIDTH,
                max_source_positions=TIME,
                vocab_size=VOCABULARY,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=1,
                decoder_start_token_id=1,
            ).encoder,
            lambda x: (x.transpose(1, 2).repeat_interleave(2, 2),),  # its convolutions halve the rate
        ),
        "inner.layers.*",
        signal,
    ),
    "nn.TransformerEncoder": Place(lambda: encoder_layer(True), "layers.*", signal, padded=by_padding_mask),
    "nn.TransformerEncoder, time first": Place(
        lambda: Transposed(encoder_layer(False), 0, 1),
        "inner.layers.*",
        signal,
        {"layout": "tbd"},
        padded=by_padding_mask,
    ),
    "nn.TransformerDecoderLayer": Place(
        lambda: Wrapped(nn.TransformerDecoderLayer(WIDTH, 2, 32, 0.0, batch_first=True), lambda x: (x, x)),
        "inner",
        signal,
    ),
    "torchaudio Conformer": Place(
        lambda: Wrapped(conformer(), lambda x: (x, torch.full((x.shape[0],), x.shape[1]))),
        "inner.conformer_layers.*",
        signal,
        {"layout": "tbd"},
        padded=lambda model, x, real: model.inner(x, real.sum(1)),
        alone="its own convolutions see padding",
        no_export="its mask of lengths depends on data",
    ),
    "1-D convolutions": Place(
        conv_net, "inner.2", signal, {"layout": "bct"}, causal=True, no_stream="convolutions forget"
    ),
    "2-D convolutions": Place(Images, "net.2", signal, {"layout": "bct"}),
    "nn.GRU": Place(
        lambda: Wrapped(nn.GRU(WIDTH, WIDTH, batch_first=True)),
        "inner",
        signal,
        causal=True,
        no_stream="nn.GRU forgets",
    ),
    "the recipe's GPT": Place(recipe_gpt, "blocks.*", ids, causal=True, cache=True),
}


def built(place: Place, **options: Any) -> nn.Module:
    """The model with the layer in it, every parameter moved away from its first value."""
    torch.manual_seed(0)
    model = place.build()
    insert(model, place.where, lambda _: layer(place), **place.options, **options)
    generator = torch.Generator().manual_seed(1)
    if not options:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.double().eval()


def layer(place: Place) -> Chain:
    if place.causal:
        return Chain(Multirate(WIDTH), LFORouting(WIDTH))
    return Chain(FIR(WIDTH, 3, init="lowpass", causal=False), Multirate(WIDTH, causal=False))


def close(y: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-9)


def check_insert(place: Place) -> str:
    model, plain = built(place), place.build()
    added = model.state_dict().keys() - plain.state_dict().keys()
    assert added
    found = model.load_state_dict(plain.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert set(found.missing_keys) == added
    copied = copy.deepcopy(model)
    x = place.inputs(2, TIME, 0)
    with torch.no_grad():
        close(output_of(copied, x), output_of(model, x))
    return "ok"


def check_identity(place: Place) -> str:
    torch.manual_seed(0)
    model = place.build().double().eval()
    x = place.inputs(2, TIME, 0)
    with torch.no_grad():
        before = output_of(model, x)
        insert(model, place.where, lambda _: layer(place), identity=True, **place.options)
        assert torch.equal(output_of(model.double(), x), before)
    return "ok"


def check_trains(place: Place) -> str:
    model = built(place, identity=True).train()
    x = place.inputs(4, TIME, 0)
    with torch.no_grad():
        target = torch.randn(
            output_of(model, x).shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
        )
    inserted = {name: p for name, p in model.named_parameters() if ".dsp_" in name}
    before = {name: p.detach().clone() for name, p in inserted.items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = (output_of(model, x) - target).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    moved = [name for name, p in inserted.items() if not torch.equal(p, before[name])]
    assert len(moved) > len(inserted) / 2, moved
    return "ok"


def check_streams(place: Place) -> str:
    if not place.causal:
        return "looks ahead"
    if place.no_stream:
        return place.no_stream
    model, x = built(place), place.inputs(2, TIME, 0)
    with torch.no_grad():
        whole = output_of(model, x)
        with streaming(model):
            cache = model.empty_cache() if hasattr(model, "empty_cache") else None
            outputs = []
            for chunk in x.split([5, 1, 1, TIME - 7], 1):
                if isinstance(cache, list):
                    outputs.append(model(chunk, cache))
                    continue
                output = model(chunk, past_key_values=cache, use_cache=True)
                cache = output.past_key_values
                outputs.append(output.logits)
    close(torch.cat(outputs, 1), whole)
    return "ok"


def check_padding(place: Place) -> str:
    if place.padded is None or place.alone:
        return place.alone or "takes no mask"
    model, x = built(place), place.inputs(2, TIME, 0)
    real = torch.ones(2, TIME, dtype=torch.bool)
    on_the_left = place.causal
    kept = slice(4, None) if on_the_left else slice(0, TIME - 4)
    real[0] = False
    real[0, kept] = True
    with torch.no_grad():
        y = output_of(lambda x: place.padded(model, x, real), x)
        alone = output_of(lambda x: place.padded(model, x, torch.ones_like(real[:1, kept])), x[:1, kept])
    close(y[:1, kept][:, : alone.shape[1]], alone)
    return "ok"


def check_fold(place: Place) -> str:
    model, x = built(place), place.inputs(2, TIME, 0)
    with torch.no_grad():
        close(output_of(fold(model), x), output_of(model, x))
    return "ok"


def check_export(place: Place) -> str:
    if place.no_export:
        return place.no_export
    model, x = built(place), place.inputs(2, TIME, 0)
    keywords = {"use_cache": False} if place.cache and not hasattr(model, "empty_cache") else {}
    with torch.no_grad():
        program = torch.export.export(model, (x,), keywords).module()
        close(output_of(lambda x: program(x, **keywords), x), output_of(model, x))
    return "ok"


def check_causal(place: Place) -> str:
    if not place.causal:
        return "looks ahead"
    model = built(place)
    x = place.inputs(1, TIME, 0)
    assert_causal(model, x, vocab_size=None if x.is_floating_point() else VOCABULARY)
    return "ok"


def check_remove(place: Place) -> str:
    torch.manual_seed(0)
    model = place.build().double().eval()
    x = place.inputs(2, TIME, 0)
    with torch.no_grad():
        before = output_of(model, x)
    keys = list(model.state_dict())
    attributes = [
        (sorted(vars(m)), len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()
    ]
    insert(model, place.where, lambda _: layer(place), **place.options)
    assert list(model.state_dict()) != keys
    remove(model)
    with torch.no_grad():
        assert torch.equal(output_of(model, x), before)
    assert list(model.state_dict()) == keys
    assert attributes == [
        (sorted(vars(m)), len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()
    ]
    return "ok"


CHECKS: dict[str, Callable[[Place], str]] = {
    "insert": check_insert,
    "identity": check_identity,
    "trains": check_trains,
    "streams": check_streams,
    "padding": check_padding,
    "fold": check_fold,
    "export": check_export,
    "causal": check_causal,
    "remove": check_remove,
}


def verdict(name: str, check: str) -> str:
    """What a check says: ok, why it does not apply, or how it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return CHECKS[check](PLACES[name])
        except Exception as error:
            return f"**fails**: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def main() -> None:
    """Write the table."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))
    print(HEAD)
    print("| model | " + " | ".join(CHECKS) + " |")
    print("|---|" + "---|" * len(CHECKS))
    for name in PLACES:
        print(f"| {name} | " + " | ".join(verdict(name, check) for check in CHECKS) + " |", flush=True)


if __name__ == "__main__":
    main()
