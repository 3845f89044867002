"""Models that nobody here wrote, tiny and with random weights, and the places of layers in them."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

WIDTH, TIME, ROWS, VOCABULARY = 8, 10, 3, 30


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
    return torch.randint(0, VOCABULARY, (ROWS, TIME), generator=torch.Generator().manual_seed(1))


def from_transformers(config: str, model: str, **options: Any) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    return getattr(transformers, model)(getattr(transformers, config)(vocab_size=VOCABULARY, **options))


NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
WIDTHS = {"hidden_size": WIDTH, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def gpt2() -> Case:
    options = {"n_layer": 2, "n_head": 2, "n_embd": WIDTH, **NO_DROPOUT}
    return Case(from_transformers("GPT2Config", "GPT2LMHeadModel", **options), "transformer.h.*", ids())


def gpt2_body() -> Case:
    """A module that returns a ModelOutput."""
    return gpt2()._replace(where="transformer", position="after")


def llama() -> Case:
    model = from_transformers("LlamaConfig", "LlamaForCausalLM", num_key_value_heads=1, **WIDTHS)
    return Case(
        model, "model.layers.*.self_attn", {"input_ids": ids()}
    )  # called by keywords, returns a tuple


def qwen2() -> Case:
    model = from_transformers("Qwen2Config", "Qwen2ForCausalLM", num_key_value_heads=1, **WIDTHS)
    return Case(model, "model.layers.*", (ids(),), position="after")


def bert() -> Case:
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = from_transformers("BertConfig", "BertModel", **WIDTHS, **dropout)
    return Case(model, "encoder.layer.*", {"input_ids": ids()}, causal=False)


def whisper() -> nn.Module:
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 1}
    sizes = {
        "d_model": WIDTH,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_ffn_dim": 16,
        "num_mel_bins": 4,
    }
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_source_positions": TIME}
    return from_transformers("WhisperConfig", "WhisperModel", **ends, **sizes, **heads).encoder


def whisper_layers() -> Case:
    return Case(whisper(), "layers.*", {"input_features": draw(ROWS, 4, 2 * TIME)}, causal=False)


def whisper_convolutions() -> Case:
    return Case(whisper(), "conv2", {"input_features": draw(ROWS, 4, 2 * TIME)}, "bct", causal=False)


def encoder(batch_first: bool) -> Case:
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(WIDTH, 2, 16, 0.0, batch_first=batch_first)
    model = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
    if batch_first:
        return Case(model, "layers.*", draw(ROWS, TIME, WIDTH), causal=False)
    return Case(model, "layers.*.norm1", draw(TIME, ROWS, WIDTH), "tbd", "after", causal=False, batch_dim=1)


def decoder(batch_first: bool) -> Case:
    torch.manual_seed(0)
    block = nn.TransformerDecoderLayer(WIDTH, 2, 16, 0.0, batch_first=batch_first)
    model = nn.TransformerDecoder(block, 2)
    shapes = (
        [(ROWS, TIME, WIDTH), (ROWS, 5, WIDTH)] if batch_first else [(TIME, ROWS, WIDTH), (5, ROWS, WIDTH)]
    )
    layout, batch_dim = (None, 0) if batch_first else ("tbd", 1)
    probe = dict(zip(("tgt", "memory"), (draw(*shape) for shape in shapes), strict=True))
    return Case(model, "layers.*", probe, layout, batch_dim=batch_dim)


def conformer() -> Case:
    try:
        from torchaudio.models import Conformer
    except (ImportError, OSError) as error:  # not there, or linked against a CUDA that is not
        pytest.skip(f"torchaudio: {error}; run tests/install_torchaudio.sh")
    torch.manual_seed(0)
    model = Conformer(WIDTH, 2, 16, 2, 3)
    probe = (draw(ROWS, TIME, WIDTH), torch.full((ROWS,), TIME))
    return Case(model, "conformer_layers.*", probe, "tbd", causal=False)


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
    "Whisper": whisper_layers,
    "Whisper, its convolutions": whisper_convolutions,
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
