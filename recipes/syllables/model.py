"""The classifier: a front end, and a small convolutional network over its frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsptorch import Chain

from .arms import Arm
from .data import INITIALS, TONES, Clips

WIDTH = 96


class Classifier(nn.Module):
    """Initial and tone of a syllable, from its waveform.

    Args:
        arm: The front end.
        train: Clips by which the features are scaled, band by band.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, arm: Arm, train: Clips) -> None:
        super().__init__()
        self.energies = arm.energies()
        bands = self.energies.d_out
        self.compression = arm.compression(bands)
        self.net = nn.Sequential(
            nn.Conv1d(bands, WIDTH, 5, padding=2),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Conv1d(WIDTH, WIDTH, 5, padding=2),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(5 * WIDTH, len(INITIALS) + len(TONES)))
        with torch.no_grad():
            features = self.compression(self.energies(train.waveforms[:256]))
        self.register_buffer("mean", features.mean((0, 1)))
        self.register_buffer("scale", features.std((0, 1)).clamp_min(1e-3))

    @property
    def front(self) -> Chain:
        """The layer from waveforms to features."""
        return Chain(self.energies, self.compression)

    @property
    def learns(self) -> bool:
        """Whether the energies depend on parameters that learn; else they can be computed once."""
        return any(parameter.requires_grad for parameter in self.energies.parameters())

    def forward(self, energies: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of initials and of tones.

        Args:
            energies: Of clips, (batch, time, bands).
            frames: How many of them are of each clip, (batch,).
        """
        x = (self.compression(energies) - self.mean) / self.scale
        y = self.net(x.transpose(1, 2))
        logits: Tensor = self.head(pooled(y, frames))
        return logits[:, : len(INITIALS)], logits[:, len(INITIALS) :]


def pooled(y: Tensor, frames: Tensor) -> Tensor:
    """The means over the quarters of each clip, and its maximum: (batch, channels, time) to (batch, 5 * channels)."""
    times = torch.arange(y.shape[2], device=y.device)
    at = 4 * times / frames.unsqueeze(1)  # in quarters
    real = (at < 4).unsqueeze(1)
    parts = [(at.floor() == quarter).unsqueeze(1) for quarter in range(4)]
    means = [(y * part).sum(2) / part.sum(2).clamp_min(1) for part in parts]
    return torch.cat([*means, y.masked_fill(~real, -torch.inf).amax(2)], 1)
