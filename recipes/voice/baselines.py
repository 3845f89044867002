"""What codes cost without a network: the anchors of the table.

order 0    the frequencies of the codes in the training part
order 1    those after each code, mixed with order 0
FLAC       the size of a FLAC file of the codes, as 8-bit samples: a linear prediction and Rice codes
LPC        `Predictor`, and one logistic distribution around it; its width, a multiple of the mean absolute error, is
           chosen on the training part. Every arm begins with that prediction.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from gpt.errors import UsageError
from torch import Tensor

from .codes import LEVELS, decode
from .data import Corpus
from .evaluate import CONTEXT, bits_of, counted
from .lpc import Predictor
from .source import RATE

MULTIPLES = (0.4, 0.5, 0.6, 0.7, 0.8, 1.0)  # of the width of LPC
FITTED = 2**18  # samples of the training part that choose among them
SMOOTHING = 4.0  # times order 0 that order 1 has seen of every code beforehand


class PredictorAlone(torch.nn.Module):
    """The adaptive linear prediction as a model: one logistic distribution.

    Args:
        multiple: Its width, in mean absolute errors.
    """

    def __init__(self, multiple: float) -> None:
        super().__init__()
        self.predictor, self.multiple = Predictor(), multiple

    def forward(self, codes: Tensor) -> Tensor:
        """Return the mixtures of the codes that follow each, of one component."""
        prediction, _, spread = self.predictor(decode(codes).unsqueeze(-1))
        return torch.cat([torch.zeros_like(prediction), prediction, (self.multiple * spread).log()], -1)


def anchors(corpus: Corpus) -> dict[str, dict[str, float]]:
    """Return the bits per sample of each anchor, by its label and the part, on the samples that count."""
    first = torch.bincount(corpus.train.long(), minlength=LEVELS).double() + 1
    first = first / first.sum()
    pairs = torch.zeros(LEVELS * LEVELS, dtype=torch.float64)
    for part in corpus.train.split(2**22):
        ids = part.long()
        pairs += torch.bincount(ids[:-1] * LEVELS + ids[1:], minlength=LEVELS * LEVELS)
    second = pairs.view(LEVELS, LEVELS) + SMOOTHING * first
    second = second / second.sum(1, keepdim=True)
    lpc = fitted_lpc(corpus)
    found: dict[str, dict[str, float]] = {"order 0": {}, "order 1": {}, "FLAC": {}, "LPC": {}}
    for name, codes in corpus.tests.items():
        ids = counted(codes).long()
        before = codes[CONTEXT - 1 : CONTEXT - 1 + len(ids)].long()
        found["order 0"][name] = -first[ids].log2().mean().item()
        found["order 1"][name] = -second[before, ids].log2().mean().item()
        found["FLAC"][name] = flac_bits(counted(codes))
        found["LPC"][name] = bits_of(lpc, codes)
    return found


def fitted_lpc(corpus: Corpus) -> PredictorAlone:
    """Return the linear prediction with the width that codes the beginning of the training part best."""
    fitted = corpus.train[: FITTED + CONTEXT]
    return min(map(PredictorAlone, MULTIPLES), key=lambda model: bits_of(model, fitted))


def flac_bits(codes: Tensor) -> float:
    """Return the size of a FLAC file of codes, in bits a sample.

    Raises:
        UsageError: soundfile is not installed.
    """
    try:
        import soundfile  # noqa: PLC0415, an extra
    except (ImportError, OSError) as error:
        raise UsageError("writing FLAC needs soundfile: pip install soundfile") from error
    samples = (codes.numpy().astype(np.int16) - LEVELS // 2) * LEVELS
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="FLAC", subtype="PCM_S8")
    return 8 * len(file.getvalue()) / len(codes)
