"""The dsptorch layers of a model."""

from torch import nn

from dsptorch.layers import Layer


def outermost(model: nn.Module) -> dict[str, Layer]:
    """The layers that are no part of another layer, by name; one that stands in two places under both names."""
    found: dict[str, Layer] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        inside = any(name.startswith(f"{outer}.") or outer == "" for outer in found)
        if isinstance(module, Layer) and not inside:
            found[name] = module
    return found
