"""Models that nobody here wrote, tiny and with random weights, and the places of layers in them."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from tests import zoo

WIDTH, TIME, ROWS = 8, 10, 3


class Case(NamedTuple):
    """A model and where a layer goes.

    Attributes:
        model: The model, without dropout.
        where: The submodules.
        probe: What the model is called with, rows that differ.
        layout: Of these submodules, as they must be told; None where it is clear.
        position: Of the layer.
        causal: Whether the model is.
        batch_dim: Where the probe has its rows.
    """

    model: nn.Module
    where: str
    probe: Any
    layout: str | None = None
    position: str = "before"
    causal: bool = True
    batch_dim: int = 0


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def ids() -> Tensor:
    return torch.randint(0, zoo.VOCABULARY, (ROWS, TIME), generator=torch.Generator().manual_seed(1))


def gpt2() -> Case:
    return Case(zoo.gpt2(WIDTH), "transformer.h.*", ids())


def gpt2_body() -> Case:
    """A module that returns a ModelOutput."""
    return gpt2()._replace(where="transformer", position="after")


def llama() -> Case:
    """Called by keywords; its attention returns a tuple."""
    return Case(zoo.llama(WIDTH), "model.layers.*.self_attn", {"input_ids": ids()})


def qwen2() -> Case:
    return Case(zoo.llama(WIDTH, "Qwen2"), "model.layers.*", (ids(),), position="after")


def bert() -> Case:
    return Case(zoo.bert(WIDTH), "encoder.layer.*", {"input_ids": ids()}, causal=False)


def whisper(where: str, layout: str | None = None) -> Case:
    probe = {"input_features": draw(ROWS, 4, 2 * TIME)}
    return Case(zoo.whisper_encoder(WIDTH, 4, TIME), where, probe, layout, causal=False)


def encoder(batch_first: bool) -> Case:
    model = zoo.transformer_encoder(WIDTH, batch_first)
    if batch_first:
        return Case(model, "layers.*", draw(ROWS, TIME, WIDTH), causal=False)
    return Case(model, "layers.*.norm1", draw(TIME, ROWS, WIDTH), "tbd", "after", causal=False, batch_dim=1)


def decoder(batch_first: bool) -> Case:
    model = nn.TransformerDecoder(zoo.transformer_decoder_layer(WIDTH, batch_first), 2)
    shapes = [(ROWS, TIME, WIDTH), (ROWS, 5, WIDTH)]
    if not batch_first:
        shapes = [(time, rows, width) for rows, time, width in shapes]
    layout, batch_dim = (None, 0) if batch_first else ("tbd", 1)
    probe = dict(zip(("tgt", "memory"), (draw(*shape) for shape in shapes), strict=True))
    return Case(model, "layers.*", probe, layout, batch_dim=batch_dim)


def conformer() -> Case:
    probe = (draw(ROWS, TIME, WIDTH), torch.full((ROWS,), TIME))
    return Case(zoo.conformer(WIDTH), "conformer_layers.*", probe, "tbd", causal=False)


def convolutions() -> Case:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(2, WIDTH, 3, padding=1), nn.BatchNorm1d(WIDTH), nn.Conv1d(WIDTH, 3, 3))
    return Case(model, "1", draw(ROWS, 2, TIME), "bct", "after")


def images() -> Case:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(WIDTH * 15, 4)
    )
    return Case(model, "1", draw(ROWS, 3, 6, TIME), "bct")


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], batch_first: bool) -> None:
        super().__init__()
        self.rnn, self.head = kind(WIDTH, WIDTH, 2, batch_first=batch_first), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        y, state = self.rnn(x)
        return self.head(y), state


def recurrent(kind: type[nn.RNNBase], batch_first: bool) -> Case:
    torch.manual_seed(0)
    model = Recurrent(kind, batch_first)
    if batch_first:
        return Case(model, "rnn", draw(ROWS, TIME, WIDTH), position="after")
    return Case(model, "rnn", draw(TIME, ROWS, WIDTH), "tbd", batch_dim=1)


CASES = {
    "GPT-2": gpt2,
    "GPT-2, its body": gpt2_body,
    "Llama": llama,
    "Qwen2": qwen2,
    "BERT": bert,
    "Whisper": lambda: whisper("layers.*"),
    "Whisper, its convolutions": lambda: whisper("conv2", "bct"),
    "nn.TransformerEncoder": lambda: encoder(True),
    "nn.TransformerEncoder, time first": lambda: encoder(False),
    "nn.TransformerDecoder": lambda: decoder(True),
    "nn.TransformerDecoder, time first": lambda: decoder(False),
    "Conformer": conformer,
    "convolutions": convolutions,
    "images": images,
    "nn.GRU": lambda: recurrent(nn.GRU, True),
    "nn.GRU, time first": lambda: recurrent(nn.GRU, False),
    "nn.LSTM": lambda: recurrent(nn.LSTM, True),
    "nn.LSTM, time first": lambda: recurrent(nn.LSTM, False),
}

QUICK = ["GPT-2", "Llama", "BERT", "nn.TransformerEncoder, time first", "convolutions", "nn.GRU"]
"""One of each layout and kind of output; the others are slow tests."""

each = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in CASES]
)
