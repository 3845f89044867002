"""Apply a layer to the bands of a signal."""

from dsptorch.layers.base import Layer
from dsptorch.layers.chain import Chain
from dsptorch.layers.combinators import check_layers

__all__ = ["Subbands"]


class Subbands(Chain):
    """Split a signal into bands, apply a layer to the bands, and reconstruct the signal.

        y = synthesis(inner(bank(x)))

    Without an inner layer, y[t] = x[t - (N - 1)] for any parameters of the bank, where N is its number of taps. Use
    `Split` with one layer per band to process the bands separately, and `Pointwise` to scale them.

    Args:
        bank: A `FilterBank`, or another layer whose `synthesis()` returns its inverse. Analysis and synthesis share the
            parameters of the bank.
        inner: A layer of rate 1 that keeps the width, bank.d_out. None leaves the bands unchanged.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> import torch
        >>> from dsptorch import FilterBank
        >>> layer = Subbands(FilterBank(2, num_bands=4))
        >>> x = torch.randn(1, 40, 2)
        >>> torch.allclose(layer(x)[:, layer.delay :], x[:, : -layer.delay], atol=1e-5)
        True
        >>> layer.rate, layer.delay, layer.lookahead
        (Fraction(1, 1), 15, 0)

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, section 5.1 (subband processing), page 188.
    """

    _synthesis: tuple[Layer, ...] = ()

    def __init__(self, bank: Layer, inner: Layer | None = None) -> None:
        synthesis = getattr(bank, "synthesis", None)
        if not isinstance(bank, Layer) or not callable(synthesis):
            raise TypeError(f"Subbands takes a bank, a layer with synthesis(), got {type(bank).__name__}")
        between = () if inner is None else check_layers("Subbands", (inner,))
        for layer in between:
            if layer.rate != 1 or layer.d_model != bank.d_out or layer.d_out != bank.d_out:
                raise ValueError(
                    f"Subbands of {bank.d_out} channels in all bands needs an inner layer of rate 1 that keeps this "
                    f"width, got rate {layer.rate} and width {layer.d_model} to {layer.d_out}"
                )
        super().__init__(bank, *between, synthesis())
        # Not registered as a submodule, which would duplicate the parameters.
        self._synthesis = (self.members[-1],)
        del self.layers[-1]

    @property
    def members(self) -> list[Layer]:
        """The bank, the inner layer if there is one, and the synthesis."""
        return [*(layer for layer in self.layers if isinstance(layer, Layer)), *self._synthesis]
