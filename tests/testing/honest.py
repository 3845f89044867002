"""Honest models, random-initialised: what the checks must not accuse. Name: builder of (model, example, vocab_size)."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

WIDTH, VOCAB, TIME = 8, 50, 24


def ids(batch=2, time=TIME):
    return torch.randint(0, VOCAB, (batch, time), generator=torch.Generator().manual_seed(0))


def signal(batch=2, time=TIME):
    return torch.randn(batch, time, WIDTH, generator=torch.Generator().manual_seed(0))


class Wrapped(nn.Module):
    """A module called in another way."""

    def __init__(self, inner, call):
        super().__init__()
        self.inner, self.call = inner, call

    def forward(self, x):
        return self.call(self.inner, x)


class CausalConvs(nn.Module):
    """Dilated convolutions, padded on the left, in the layout (batch, channels, time)."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 3, dilation=2**i) for i in range(3))
        self.norm = nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x):
        for conv in self.convs:
            y = conv(F.pad(x.transpose(1, 2), (2 * conv.dilation[0], 0))).transpose(1, 2)
            x = x + self.dropout(F.gelu(self.norm(y)))
        return x


class PaddedAndCropped(nn.Module):
    """Conv1d pads both sides; what is too much is cut off."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 4, padding=3)

    def forward(self, x):
        return self.conv(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)


class MambaLike(nn.Module):
    """A selective state space: s = exp(-dt a) s + dt B x, y = C s + x, gated."""

    def __init__(self, states=4):
        super().__init__()
        self.inner = nn.Linear(WIDTH, 2 * WIDTH)
        self.conv = nn.Conv1d(WIDTH, WIDTH, 4, groups=WIDTH, padding=3)
        self.select = nn.Linear(WIDTH, 2 * states + WIDTH)
        self.log_a = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(WIDTH, 1))
        self.skip = nn.Parameter(torch.ones(WIDTH))
        self.out = nn.Linear(WIDTH, WIDTH)
        self.states = states

    def forward(self, x):
        u, gate = self.inner(x).chunk(2, -1)
        u = F.silu(self.conv(u.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        b, c, dt = self.select(u).split([self.states, self.states, WIDTH], -1)
        dt = F.softplus(dt).unsqueeze(-1)
        decay, drive = torch.exp(-dt * self.log_a.exp()), dt * b.unsqueeze(2) * u.unsqueeze(-1)
        state, outputs = torch.zeros_like(drive[:, 0]), []
        for t in range(x.shape[1]):
            state = decay[:, t] * state + drive[:, t]
            outputs.append((state * c[:, t, None]).sum(-1))
        return self.out((torch.stack(outputs, 1) + self.skip * u) * F.silu(gate))


class RWKVLike(nn.Module):
    """Token shift, and a weighted mean of the past in the exponential."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Parameter(torch.rand(3, WIDTH))
        self.key, self.value, self.gate = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.decay, self.first = nn.Parameter(torch.randn(WIDTH)), nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x):
        before = F.pad(x, (0, 0, 1, 0))[:, :-1]
        k, v, r = (
            f(torch.lerp(before, x, m))
            for f, m in zip((self.key, self.value, self.gate), self.mix, strict=True)
        )
        numerator, denominator, outputs = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            now = torch.exp(self.first + k[:, t])
            outputs.append((numerator + now * v[:, t]) / (denominator + now))
            keep = torch.exp(-torch.exp(self.decay))
            numerator = keep * numerator + torch.exp(k[:, t]) * v[:, t]
            denominator = keep * denominator + torch.exp(k[:, t])
        return x + torch.sigmoid(r) * torch.stack(outputs, 1)


class LinearAttention(nn.Module):
    """Sums over the past by cumsum."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        memory = (k.unsqueeze(-1) * v.unsqueeze(-2)).cumsum(1)
        return torch.einsum("btk,btkv->btv", q, memory) / torch.einsum(
            "btk,btk->bt", q, k.cumsum(1)
        ).unsqueeze(-1)


class CausalMask(nn.Module):
    """nn.TransformerEncoder, with the mask that makes it causal."""

    def __init__(self, norm_first):
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], x.device, x.dtype)
        return self.encoder(x, mask=mask, is_causal=True)


class Decoder(nn.Module):
    """nn.TransformerDecoder with mask; it attends to a memory that does not depend on the input."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(WIDTH, 2, 16, batch_first=True), 2)
        self.memory = nn.Parameter(torch.randn(5, WIDTH))

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], x.device, x.dtype)
        return self.decoder(x, self.memory.expand(len(x), -1, -1), tgt_mask=mask)


class ALiBi(nn.Module):
    """Attention with a bias by distance and a float mask kept in a frozen parameter."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.mask = nn.Parameter(torch.ones(TIME, TIME).tril(), requires_grad=False)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        at = torch.arange(x.shape[1])
        scores = q @ k.mT / math.sqrt(WIDTH) - 0.5 * (at[:, None] - at)
        scores = scores.to(x.dtype)
        return scores.masked_fill(self.mask[: x.shape[1], : x.shape[1]] == 0, -torch.inf).softmax(-1) @ v


SIGNAL_MODELS = {
    "causal convolutions": CausalConvs,
    "convolution, padded and cropped": PaddedAndCropped,
    "Mamba-like": MambaLike,
    "RWKV-like": RWKVLike,
    "linear attention": LinearAttention,
    "ALiBi": ALiBi,
    "RNN": lambda: nn.RNN(WIDTH, WIDTH, batch_first=True),
    "LSTM": lambda: nn.LSTM(WIDTH, 6, 2, batch_first=True, dropout=0.4),
    "GRU": lambda: nn.GRU(WIDTH, 6, batch_first=True),
    "GRU, time first": lambda: Wrapped(
        nn.GRU(WIDTH, 6), lambda gru, x: gru(x.transpose(0, 1))[0].transpose(0, 1)
    ),
    "TransformerEncoder, causal mask": lambda: CausalMask(norm_first=False),
    "TransformerEncoder, norm first": lambda: CausalMask(norm_first=True),
    "TransformerDecoder, masked": Decoder,
    "BatchNorm in eval mode": lambda: Wrapped(
        nn.BatchNorm1d(WIDTH).eval(),
        lambda norm, x: F.batch_norm(x.mT, norm.running_mean, norm.running_var).mT,
    ),
}


def _hugging_face(kind, **config):
    def build():
        transformers = pytest.importorskip("transformers", reason="pip install 'dsptorch[dev]' brings it")
        small = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0} | config
        return transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **small))

    return build


_LLAMA = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
TOKEN_MODELS = {
    "GPT-2": _hugging_face("gpt2", n_embd=16, n_layer=2, n_head=2, n_positions=64),
    "Llama": _hugging_face("llama", **_LLAMA),
    "Mistral, sliding window": _hugging_face("mistral", sliding_window=5, **_LLAMA),
    "GPT-NeoX": _hugging_face("gpt_neox", **{k: v for k, v in _LLAMA.items() if "key" not in k}),
    "BLOOM": _hugging_face("bloom", hidden_size=16, n_layer=2, n_head=2),
    "OPT": _hugging_face(
        "opt", hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=2, word_embed_proj_dim=16
    ),
    "Mixtral": _hugging_face("mixtral", num_local_experts=4, **_LLAMA),
    "Mamba": _hugging_face("mamba", hidden_size=16, state_size=4, num_hidden_layers=2),
    "RWKV": _hugging_face(
        "rwkv", hidden_size=16, attention_hidden_size=16, num_hidden_layers=2, context_length=64
    ),
}
