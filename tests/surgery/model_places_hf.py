"""Encoders with decoders, towers, waveforms, state spaces and experts: more rows of docs/models_table.md."""

from typing import Any

import torch
from torch import Tensor, nn

from tests import zoo
from tests.surgery.model_places import TIME, WIDTH, Place, Wrapped, by_attention_mask, ids, signal

SOURCE = 5


def sources(rows: int) -> Tensor:
    """The same source for each row, of another length than the targets."""
    return (torch.arange(SOURCE) + 2).expand(rows, -1)


class Pair(nn.Module):
    """An encoder and a decoder as a model of its targets; the source is padded where a mask of it is given."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(
        self,
        x: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool = False,
    ) -> Any:
        """`attention_mask` is of x; the source of the first row is then padded as well."""
        source = sources(len(x))
        given: dict[str, Any] = {"past_key_values": past_key_values, "use_cache": use_cache}
        if attention_mask is not None:
            real = torch.ones_like(source)
            real[0, -2:] = 0
            given |= {"attention_mask": real, "decoder_attention_mask": attention_mask}
        return self.inner(input_ids=source, decoder_input_ids=x, **given)


class Captions(Pair):
    def forward(
        self,
        x: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool = False,
    ) -> Any:
        pixels = torch.ones(len(x), 3, 8, 8, dtype=torch.float64)
        given: dict[str, Any] = {"past_key_values": past_key_values, "use_cache": use_cache}
        return self.inner(
            pixel_values=pixels, decoder_input_ids=x, decoder_attention_mask=attention_mask, **given
        )


class Texts(nn.Module):
    """The text tower of a model that is given as many pictures."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        pixels = torch.ones(len(x), 3, 8, 8, dtype=torch.float64)
        y: Tensor = self.inner(x, pixels, attention_mask).text_model_output.last_hidden_state
        return y


class Pictures(nn.Module):
    """The vision tower, by the patches of a picture, which are its time; each text beside it is padded."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        real = torch.ones(len(x), SOURCE, dtype=torch.int64)
        real[:, 3:] = 0
        return patches(self.inner(sources(len(x)), picture(x), real).vision_model_output.last_hidden_state)


class Patches(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return patches(self.inner(picture(x)).last_hidden_state)


def patches(y: Tensor) -> Tensor:
    """The four patches without the class token, three steps of time each."""
    return y[:, 1:].repeat_interleave(3, 1)


def picture(x: Tensor) -> Tensor:
    """A picture of 8 x 8 made of the first four samples of each row, one a patch."""
    patches = x[:, :4, :3].transpose(1, 2).reshape(len(x), 3, 2, 2)
    return patches.repeat_interleave(4, 2).repeat_interleave(4, 3)


class Waves(nn.Module):
    """Four samples of a waveform for each step of time, whose mask is at the rate of the waveform."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        wave = nn.functional.pad(x[..., :4].flatten(1), (0, 3))
        if real is None:
            y: Tensor = self.inner(wave).last_hidden_state
            return y
        each = real.repeat_interleave(4, 1).long()
        quiet = wave * nn.functional.pad(each, (0, 3))
        mask = nn.functional.pad(each, (3, 0), value=1)
        masked: Tensor = self.inner(quiet, attention_mask=mask).last_hidden_state
        return masked


class Transformer(Wrapped):
    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        source = x[:, :1] + torch.linspace(0, 1, SOURCE, dtype=x.dtype).reshape(1, -1, 1)
        causal = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        masks: dict[str, Tensor] = {}
        if real is not None:
            source = torch.ones_like(source)
            padded = torch.zeros(len(x), SOURCE, dtype=torch.bool)
            padded[0, -2:] = True
            masks = {
                "src_key_padding_mask": padded,
                "memory_key_padding_mask": padded,
                "tgt_key_padding_mask": ~real,
            }
        y: Tensor = self.inner(source, x, tgt_mask=causal, **masks)
        return y


class UNet(nn.Module):
    """Down by 2 and up again, with a skip, on (batch, channels, time)."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv1d(WIDTH, WIDTH, 4, stride=2, padding=1)
        self.middle = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)
        self.up = nn.ConvTranspose1d(WIDTH, WIDTH, 4, stride=2, padding=1)
        self.head = nn.Conv1d(2 * WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = x.transpose(1, 2)
        y = self.up(torch.tanh(self.middle(torch.tanh(self.down(skip)))))
        made: Tensor = self.head(torch.cat([skip, y], 1)).transpose(1, 2)
        return made


def by_mask(model: nn.Module, x: Tensor, real: Tensor) -> Any:
    """Without positions, which the model does not take."""
    return model(x, attention_mask=real.long())


LANGUAGE: Any = {"causal": True, "padded": by_attention_mask, "cache": "past_key_values"}
PAIR: Any = {
    "causal": True,
    "padded": by_mask,
    "cache": "past_key_values",
    "no_chat": "its source is no turn",
}
PLACES_HF: dict[str, Place] = {
    "transformers Gemma": Place(lambda: zoo.gemma(WIDTH), "model.layers.*", ids, **LANGUAGE),
    "transformers Mixtral": Place(
        lambda: zoo.mixtral(WIDTH), "model.layers.*", ids, no_export="its routing depends on data", **LANGUAGE
    ),
    "transformers Mamba": Place(
        lambda: zoo.mamba(WIDTH),
        "backbone.layers.*",
        ids,
        causal=True,
        padded=by_mask,
        chunks=(5, *(1,) * (TIME - 5)),
        close=1e-5,  # its cache is of float32
        cache="cache_params",
        no_chat="goes on token by token alone",
    ),
    "transformers RWKV": Place(
        lambda: zoo.rwkv(WIDTH), "rwkv.blocks.*", ids, causal=True, no_stream="refused: its state is a list"
    ),
    "transformers T5": Place(lambda: Pair(zoo.t5(WIDTH)), "inner.decoder.block.*", ids, **PAIR),
    "transformers BART": Place(
        lambda: Pair(zoo.bart(WIDTH)), "inner.model.decoder.layers.*", ids, right=True, **PAIR
    ),
    "transformers BERT to BERT": Place(
        lambda: Pair(zoo.bert_to_bert(WIDTH)),
        "inner.decoder.bert.encoder.layer.*",
        ids,
        right=True,
        **PAIR,
    ),
    "transformers CLIP, text": Place(
        lambda: Texts(zoo.clip(WIDTH)), "inner.text_model.encoder.layers.*", ids, padded=by_mask
    ),
    "transformers CLIP, vision": Place(
        lambda: Pictures(zoo.clip(WIDTH)), "inner.vision_model.encoder.layers.*", signal
    ),
    "transformers ViT": Place(lambda: Patches(zoo.vit(WIDTH)), "inner.layers.*", signal),
    "transformers Wav2Vec2": Place(
        lambda: Waves(zoo.wav2vec2(WIDTH)),
        "inner.encoder.layers.*",
        signal,
        padded=lambda model, x, real: model(x, real),
    ),
    "nn.Transformer": Place(
        lambda: Transformer(zoo.transformer(WIDTH)),
        "inner.decoder.layers.*",
        signal,
        causal=True,
        padded=lambda model, x, real: model(x, real),
        no_stream="its attention keeps no cache",
        no_export="it looks at the numbers of its mask",
    ),
    "a U-Net in one dimension": Place(UNet, "middle", signal, {"layout": "bct"}),
}
