"""Locate a leak: the phase of its output times, and the first module whose output shows it."""

import torch
from torch import Tensor, nn

from dsptorch.testing._engine.change import relatively_moved, sizes_of
from dsptorch.testing._engine.outputs import wide
from dsptorch.testing._engine.perturb import Perturber
from dsptorch.testing._engine.run import tensors_of


def phase_of(leaking: Tensor) -> str:
    """Describe at which times modulo a small period the outputs leak; "" if at all times or without a period.

    Args:
        leaking: bool, (time,): the outputs that leak.

    Example:
        >>> phase_of(torch.arange(40) % 16 == 11)
        'only outputs at times t with t mod 16 = 11 do'
    """
    times = leaking.nonzero().flatten()
    length = len(leaking)
    for period in range(2, length // 2 + 1):
        phases = (times % period).unique()
        expected = torch.isin(torch.arange(length) % period, phases)
        within = slice(int(times[0]), int(times[-1]) + 1)
        if 2 * len(phases) <= len(times) and len(phases) < period:
            missing = expected[within] & ~leaking[within]
            if not missing.any() and times[-1] - times[0] >= period:
                some = ", ".join(map(str, phases.tolist()[:8])) + (", ..." if len(phases) > 8 else "")
                return f"only outputs at times t with t mod {period} {'=' if len(phases) == 1 else 'in'} {some} do"
    return ""


def origin_of(perturber: Perturber, clean: Tensor, changed: Tensor, cut: int, limit: float) -> str:
    """Name the first module whose output before the cut changed with the inputs after the cut.

    Only outputs with time in a dimension of its own are checked; outputs with an ambiguous layout are skipped.

    Args:
        perturber: The perturber of the model.
        clean: The rows of a pass.
        changed: The same rows, replaced from `cut` on.
        cut: The first replaced time.
        limit: The relative change up to which outputs count as equal.
    """
    before, after = (_watch(perturber, x, clean.shape[:2]) for x in (clean, changed))
    if [name for name, _ in before] != [name for name, _ in after]:
        return ""
    for (name, old), (_, new) in zip(before, after, strict=True):
        if old.shape == new.shape and old.numel() and not old.isnan().any():
            was, now = {name: old.flatten(2)}, {name: new.flatten(2)}
            if relatively_moved(now, was, sizes_of(was))[:, :cut].max() > limit:
                return f"the first of its modules to show it is {name}"
    return ""


def _watch(perturber: Perturber, x: Tensor, shape: torch.Size) -> list[tuple[str, Tensor]]:
    """The outputs of all submodules in the order in which they come, the time moved to dimension 1."""
    seen: list[tuple[str, Tensor]] = []

    def keep(name: str, output: object) -> None:
        for tensor in tensors_of(output):
            at = [d for d in range(1, tensor.dim()) if tensor.shape[d] == shape[1]]
            if tensor.shape[:1] == shape[:1] and len(at) == 1:
                moved = wide(tensor.detach()).movedim(at[0], 1)
                seen.append((name, moved.unsqueeze(-1) if moved.dim() == 2 else moved))
                return

    def hook_of(name: str, module: nn.Module) -> object:
        label = f"{name!r} ({type(module).__name__})"
        return module.register_forward_hook(lambda _module, _args, output: keep(label, output))

    names = dict(perturber.model.named_modules()) if isinstance(perturber.model, nn.Module) else {}
    handles = [hook_of(name, module) for name, module in names.items() if name]
    try:
        perturber.run(x)
    finally:
        for handle in handles:
            handle.remove()  # type: ignore[attr-defined]
    return seen
