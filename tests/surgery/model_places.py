"""Models that nobody here wrote and the place of a layer in each: the rows of docs/models_table.md."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tests import zoo

WIDTH, TIME = 16, 12


class Place(NamedTuple):
    """A model and the place of the layer in it.

    Attributes:
        build: Builds the model.
        where: Where the layer goes.
        inputs: Makes an input of a number of rows and samples, from a seed.
        options: Of `insert`.
        causal: Whether the model is, so that it can stream.
        padded: Calls it with a mask (batch, time) of real samples; None: the model takes none.
        no_stream: Why not, if it is causal.
        chunks: The chunks in which it streams.
        close: How close the chunks are to the whole.
        cache: The argument by which it takes its cache, if it generates.
        no_beams: Why beam search does not go, if so.
        no_chat: Why a second turn does not go, if so.
        right: Whether padding is on the right though the model is causal: it knows its positions only from the left.
        alone: Why a padded row of the plain model differs from the row alone, if it does.
        no_export: Why the plain model does not export, if so.
    """

    build: Callable[[], nn.Module]
    where: str
    inputs: Callable[[int, int, int], Tensor]
    options: Mapping[str, Any] = MappingProxyType({})
    causal: bool = False
    padded: Callable[[nn.Module, Tensor, Tensor], Any] | None = None
    no_stream: str = ""
    chunks: tuple[int, ...] = (5, 1, 1, TIME - 7)
    close: float = 1e-9
    cache: str = ""
    no_beams: str = ""
    no_chat: str = ""
    right: bool = False
    alone: str = ""
    no_export: str = ""


def ids(rows: int, time: int, seed: int) -> Tensor:
    return torch.randint(2, zoo.VOCABULARY, (rows, time), generator=torch.Generator().manual_seed(seed))


def signal(rows: int, time: int, seed: int) -> Tensor:
    return torch.randn(rows, time, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_attention_mask(model: nn.Module, x: Tensor, real: Tensor) -> Any:
    return model(x, attention_mask=real.long(), position_ids=(real.long().cumsum(1) - 1).clamp(min=0))


def by_padding_mask(model: nn.Module, x: Tensor, real: Tensor) -> Any:
    return model(x, src_key_padding_mask=~real)


class Wrapped(nn.Module):
    """One signal in, whatever else the inner model takes beside it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner = model

    def arguments(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x,)

    def forward(self, x: Tensor) -> Any:
        return self.inner(*self.arguments(x))


class Whisper(Wrapped):
    def arguments(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.transpose(1, 2).repeat_interleave(2, 2),)  # its convolutions halve the rate


class WithMemory(Wrapped):
    def __init__(self, model: nn.Module, time: int = 1) -> None:
        super().__init__(model)
        self.time = time

    def arguments(self, x: Tensor) -> tuple[Tensor, ...]:
        return x, x.narrow(self.time, 0, 5)


class WithLengths(Wrapped):
    def arguments(self, x: Tensor) -> tuple[Tensor, ...]:
        return x, torch.full((x.shape[0],), x.shape[1])


class Transposed(nn.Module):
    """(batch, time, channels) around what takes (time, batch, channels), or (batch, channels, time)."""

    def __init__(self, inner: nn.Module, first: int, second: int) -> None:
        super().__init__()
        self.inner, self.dims = inner, (first, second)

    def forward(self, x: Tensor, src_key_padding_mask: Tensor | None = None) -> Tensor:
        mask = {} if src_key_padding_mask is None else {"src_key_padding_mask": src_key_padding_mask}
        y = self.inner(x.transpose(*self.dims), **mask)
        signal: Tensor = y if isinstance(y, Tensor) else y[0]
        return signal.transpose(*self.dims)


class CausalConv(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(x, (2, 0)))


def conv_net() -> nn.Module:
    """Causal, on (batch, channels, time)."""
    net = nn.Sequential(CausalConv(WIDTH, WIDTH, 3), nn.GELU(), CausalConv(WIDTH, WIDTH, 3))
    return Transposed(net, 1, 2)


class Images(nn.Module):
    """A net on images, (batch, time, WIDTH) seen as one row of pixels a channel: (batch, WIDTH, 2, time)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.GELU(), nn.Conv2d(WIDTH, WIDTH, 1))

    def forward(self, x: Tensor) -> Tensor:
        image = torch.stack([x, 2 * x], 2).permute(0, 3, 2, 1)  # (batch, WIDTH, 2, time)
        y: Tensor = self.net(image).mean(2).transpose(1, 2)
        return y


def whisper() -> nn.Module:
    return Whisper(zoo.whisper_encoder(WIDTH, WIDTH, TIME))


def decoder(batch_first: bool) -> nn.Module:
    made = nn.TransformerDecoder(zoo.transformer_decoder_layer(WIDTH, batch_first), 2)
    return WithMemory(made) if batch_first else Transposed(WithMemory(made, 0), 0, 1)


def recipe_gpt() -> nn.Module:
    from gpt.model import GPT, GPTConfig

    return GPT(GPTConfig(vocab_size=zoo.VOCABULARY, n_layer=2, n_head=2, d_model=WIDTH, context=64))


LANGUAGE: Any = {"causal": True, "padded": by_attention_mask, "cache": "past_key_values"}
AFTER = {"position": "after"}

PLACES: dict[str, Place] = {
    "transformers GPT-2": Place(lambda: zoo.gpt2(WIDTH), "transformer.h.*", ids, **LANGUAGE),
    "transformers Llama": Place(lambda: zoo.llama(WIDTH), "model.layers.*.self_attn", ids, **LANGUAGE),
    "transformers Qwen2": Place(lambda: zoo.llama(WIDTH, "Qwen2"), "model.layers.*", ids, AFTER, **LANGUAGE),
    "transformers BERT": Place(lambda: zoo.bert(WIDTH), "encoder.layer.*", ids, padded=by_attention_mask),
    "transformers Whisper encoder": Place(whisper, "inner.layers.*", signal),
    "nn.TransformerEncoder": Place(
        lambda: zoo.transformer_encoder(WIDTH, True), "layers.*", signal, padded=by_padding_mask
    ),
    "nn.TransformerEncoder, time first": Place(
        lambda: Transposed(zoo.transformer_encoder(WIDTH, False), 0, 1),
        "inner.layers.*",
        signal,
        {"layout": "tbd"},
        padded=by_padding_mask,
    ),
    "nn.TransformerDecoderLayer": Place(
        lambda: WithMemory(zoo.transformer_decoder_layer(WIDTH, True)), "inner", signal
    ),
    "torchaudio Conformer": Place(
        lambda: WithLengths(zoo.conformer(WIDTH)),
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
        AFTER,
        causal=True,
        no_stream="nn.GRU forgets",
    ),
    "the recipe's GPT": Place(recipe_gpt, "blocks.*", ids, causal=True),
}

TIME_FIRST = {"layout": "tbd"}
MORE: dict[str, Place] = {
    "GPT-2, its body": PLACES["transformers GPT-2"]._replace(where="transformer", options=AFTER),
    "Whisper, its convolutions": Place(whisper, "inner.conv2", signal, {"layout": "bct"}),
    "nn.TransformerDecoder": Place(lambda: decoder(True), "inner.layers.*", signal),
    "nn.TransformerDecoder, time first": Place(
        lambda: decoder(False), "inner.inner.layers.*", signal, TIME_FIRST
    ),
    "nn.GRU, time first": Place(lambda: Transposed(nn.GRU(WIDTH, WIDTH), 0, 1), "inner", signal, TIME_FIRST),
    "nn.LSTM": Place(lambda: Wrapped(nn.LSTM(WIDTH, WIDTH, 2, batch_first=True)), "inner", signal, AFTER),
    "nn.LSTM, time first": Place(
        lambda: Transposed(nn.LSTM(WIDTH, WIDTH), 0, 1), "inner", signal, {**TIME_FIRST, **AFTER}
    ),
}
"""Other places, which the table leaves out."""
