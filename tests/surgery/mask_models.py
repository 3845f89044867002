"""Models called with padded batches, and with each row alone: for the search for masks that are taken wrong.

A model says how it is called with a batch of sources, and of targets where it takes any. Rows have lengths of their
own; what pads them is noise, so that whoever looks at it is seen.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tests import zoo

WIDTH = 16
PIXELS = 8


class Batch(NamedTuple):
    """Rows of one length, with what is real of them.

    Attributes:
        rows: Token ids (batch, time), a signal (batch, time, WIDTH), or a waveform (batch, time).
        real: Whether each sample is real, bool, (batch, time).
    """

    rows: Tensor
    real: Tensor

    def row(self, index: int) -> "Batch":
        """One row alone, without its padding."""
        kept = self.real[index]
        return Batch(self.rows[index : index + 1, kept], self.real[index : index + 1, kept])


class Padded(NamedTuple):
    """A model, and how it is called.

    Attributes:
        build: Builds the model.
        places: Globs for the layers, and the width there.
        call: Calls it with a source, a target (None without `target`), and whether to give masks; returns the outputs
            (batch, time, ...) with the batch that says what of each is real; None: every time step.
        kind: What a row is: "ids", "signal" or "wave".
        target: Whether it takes a target.
        sides: Where padding may be; a plain model that is wrong with padding on the left has no "left".
    """

    build: Callable[[], nn.Module]
    places: tuple[str, ...]
    call: Callable[..., list[tuple[Tensor, Tensor | None]]]
    kind: str = "ids"
    target: bool = False
    sides: tuple[str, ...] = ("left", "right")


def positions(batch: Batch) -> Tensor:
    return (batch.real.long().cumsum(1) - 1).clamp(min=0)


def language(model: Any, source: Batch, _: Any, masked: bool) -> list[tuple[Tensor, Tensor | None]]:
    mask = {"attention_mask": source.real.long(), "position_ids": positions(source)} if masked else {}
    return [(model(source.rows, use_cache=False, **mask).logits, source.real)]


def recurrent(model: Any, source: Batch, _: Any, masked: bool) -> list[tuple[Tensor, Tensor | None]]:
    mask = {"attention_mask": source.real.long()} if masked else {}
    return [(model(source.rows, use_cache=False, **mask).logits, source.real)]


def single_precision(*call: Any) -> list[tuple[Tensor, Tensor | None]]:
    """A model that computes in float32 inside, whatever its dtype."""
    return [(y.float(), real) for y, real in recurrent(*call)]


def bert(model: Any, source: Batch, _: Any, masked: bool) -> list[tuple[Tensor, Tensor | None]]:
    mask = {"attention_mask": source.real, "position_ids": positions(source)} if masked else {}
    return [(model(source.rows, **mask).last_hidden_state, source.real)]


def pair(model: Any, source: Batch, target: Batch, masked: bool) -> list[tuple[Tensor, Tensor | None]]:
    masks = {}
    if masked:
        masks["attention_mask"] = source.real.long()
    if not target.real.all():
        masks["decoder_attention_mask"] = target.real.long()
    y = model(input_ids=source.rows, decoder_input_ids=target.rows, use_cache=False, **masks).logits
    return [(y, target.real)]


def captions(model: Any, source: Batch, target: Batch, masked: bool) -> list[tuple[Tensor, Tensor | None]]:
    mask = {} if target.real.all() else {"decoder_attention_mask": target.real.long()}
    pixels = pictures(source)
    y = model(pixel_values=pixels, decoder_input_ids=target.rows, use_cache=False, **mask).logits
    return [(y, target.real)]


def pictures(batch: Batch) -> Tensor:
    """A picture for each row, made of its first real number."""
    first = torch.stack([row[kept][0] for row, kept in zip(batch.rows, batch.real, strict=True)]).double()
    grid = torch.arange(3 * PIXELS * PIXELS, dtype=torch.float64).reshape(3, PIXELS, PIXELS)
    return torch.sin(grid + first.reshape(-1, 1, 1, 1))


def clip(model: Any, source: Batch, target: Batch, masked: bool) -> list[tuple[Tensor, Tensor | None]]:
    """Texts and pictures, of which there may be another number: as many as the target has rows."""
    mask = {"attention_mask": source.real.long()} if masked else {}
    out = model(input_ids=source.rows, pixel_values=pictures(target), **mask)
    vision, text = out.vision_model_output.last_hidden_state, out.text_model_output.last_hidden_state
    return [(text, source.real), (vision, None)]


def waves(model: Any, source: Batch, _: Any, masked: bool) -> list[tuple[Tensor, Tensor | None]]:
    quiet = source.rows.masked_fill(~source.real, 0)  # as the feature extractor pads
    mask = {"attention_mask": source.real.long()} if masked else {}
    y = model(quiet, **mask).last_hidden_state
    frames = model._get_feat_extract_output_lengths(source.real.sum(1))
    return [(y, torch.arange(y.shape[1]) < frames.unsqueeze(1))]


def encoder(model: Any, source: Batch, _: Any, masked: bool) -> list[tuple[Tensor, Tensor | None]]:
    mask = {"src_key_padding_mask": ~source.real} if masked else {}
    return [(model(source.rows, **mask), source.real)]


def transformer(model: Any, source: Batch, target: Batch, masked: bool) -> list[tuple[Tensor, Tensor | None]]:
    masks = {}
    if masked:
        masks = {"src_key_padding_mask": ~source.real, "memory_key_padding_mask": ~source.real}
    if not target.real.all():
        masks["tgt_key_padding_mask"] = ~target.real
    return [(model(source.rows, target.rows, **masks), target.real)]


def attends(model: Any, source: Batch, target: Batch, masked: bool) -> list[tuple[Tensor, Tensor | None]]:
    masks = {"memory_key_padding_mask": ~source.real} if masked else {}
    if not target.real.all():
        masks["tgt_key_padding_mask"] = ~target.real
    return [(model(target.rows, source.rows, **masks), target.real)]


def decoder() -> nn.Module:
    return nn.TransformerDecoder(zoo.transformer_decoder_layer(WIDTH, True), 2)


MODELS: dict[str, Padded] = {
    "GPT-2": Padded(lambda: zoo.gpt2(WIDTH), ("transformer.h.*", "transformer.h.*.mlp"), language),
    "Llama": Padded(lambda: zoo.llama(WIDTH), ("model.layers.*", "model.layers.*.self_attn"), language),
    "Gemma": Padded(lambda: zoo.gemma(WIDTH), ("model.layers.*", "model.norm"), language),
    "Mixtral": Padded(lambda: zoo.mixtral(WIDTH), ("model.layers.*",), language),
    "Mamba": Padded(lambda: zoo.mamba(WIDTH), ("backbone.layers.*", "backbone.layers.*.mixer"), recurrent),
    "RecurrentGemma": Padded(
        lambda: zoo.recurrent_gemma(WIDTH), ("model.layers.*",), single_precision, sides=("right",)
    ),
    "RWKV": Padded(lambda: zoo.rwkv(WIDTH), ("rwkv.blocks.*",), recurrent, sides=("right",)),
    "BERT": Padded(lambda: zoo.bert(WIDTH), ("encoder.layer.*", "encoder.layer.*.attention"), bert),
    "T5": Padded(
        lambda: zoo.t5(WIDTH),
        ("encoder.block.*", "decoder.block.*", "decoder.final_layer_norm"),
        pair,
        target=True,
    ),
    "BART": Padded(
        lambda: zoo.bart(WIDTH),
        ("model.encoder.layers.*", "model.decoder.layers.*", "model.decoder.layers.*.encoder_attn"),
        pair,
        target=True,
        sides=("right",),
    ),
    "Marian": Padded(
        lambda: zoo.marian(WIDTH), ("model.decoder.layers.*.self_attn",), pair, target=True, sides=("right",)
    ),
    "BERT to BERT": Padded(
        lambda: zoo.bert_to_bert(WIDTH),
        ("encoder.encoder.layer.*", "decoder.bert.encoder.layer.*"),
        pair,
        target=True,
        sides=("right",),
    ),
    "ViT to BERT": Padded(
        lambda: zoo.vit_to_bert(WIDTH),
        ("encoder.layers.*", "decoder.bert.encoder.layer.*"),
        captions,
        target=True,
        sides=("right",),
    ),
    "CLIP": Padded(
        lambda: zoo.clip(WIDTH),
        ("text_model.encoder.layers.*", "vision_model.encoder.layers.*"),
        clip,
        target=True,
        sides=("right",),
    ),
    "Wav2Vec2": Padded(
        lambda: zoo.wav2vec2(WIDTH),
        ("encoder.layers.*", "encoder.layers.*.attention"),
        waves,
        "wave",
        sides=("right",),
    ),
    "HuBERT": Padded(
        lambda: zoo.wav2vec2(WIDTH, "Hubert"), ("encoder.layers.*",), waves, "wave", sides=("right",)
    ),
    "nn.TransformerEncoder": Padded(
        lambda: zoo.transformer_encoder(WIDTH, True), ("layers.*", "layers.*.self_attn"), encoder, "signal"
    ),
    "nn.Transformer": Padded(
        lambda: zoo.transformer(WIDTH), ("encoder.layers.*", "decoder.layers.*"), transformer, "signal", True
    ),
    "nn.TransformerDecoder": Padded(
        decoder, ("layers.*", "layers.*.multihead_attn", "layers.*.self_attn"), attends, "signal", True
    ),
}
