"""A layer on the bands of a signal."""

from dsptorch.layers.base import Layer
from dsptorch.layers.chain import Chain
from dsptorch.layers.combinators import check_layers

__all__ = ["Subbands"]


class Subbands(Chain):
    """Take a signal apart into bands, apply a layer to them, and put them together again.

        y = synthesis(inner(bank(x)))

    Without a layer between, y[t] = x[t - (N - 1)], N the taps of the bank, whatever its parameters are. `Split` of one
    layer a band treats the bands apart; `Pointwise` can scale them.

    Args:
        bank: The bank, a `FilterBank` or another layer whose `synthesis()` is the layer that undoes it. Its parameters
            are in this one once.
        inner: A layer of rate 1 that keeps the width, bank.d_out; None: the bands stay as they are.

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
        # Not a module of this one: the parameters would be in it twice.
        self._synthesis = (self.members[-1],)
        del self.layers[-1]

    @property
    def members(self) -> list[Layer]:
        """The bank, the layer between if there is one, and the synthesis."""
        return [*(layer for layer in self.layers if isinstance(layer, Layer)), *self._synthesis]
