"""The forward of a module with hyperparameters bound to its numbers."""

from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.surgery.binding.tensor_number import RefusedError, TensorNumber, Use, as_tensors, refusal
from dsptorch.surgery.interpose import Interposer

__all__ = ["BoundForward", "bind_number", "unbind_number"]


class BoundForward(Interposer):
    """A forward in which the values of hyperparameters replace numbers.

    The attributes hold tensors only while it runs, because a tensor with a history cannot be copied or pickled. It is
    inside the insertions, so that `remove` finds them and leaves this one.
    """

    depth = 1

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        # The attribute, the child, and the original number.
        self.bound: tuple[tuple[str, str, float], ...] = ()

    def child(self, name: str) -> str:
        """The name of the hyperparameter bound to an attribute."""
        return next(child for bound, child, _ in self.bound if bound == name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module with the current values in place of the numbers."""
        module, use = self.module, Use()
        before, values = {}, {}
        for name, child, number in self.bound:
            before[name] = getattr(module, name)
            # It is a tensor where forward calls itself.
            if not isinstance(before[name], Tensor) and before[name] != number:
                raise ValueError(
                    f"{name} of {type(module).__name__} was set to {before[name]!r}, but it is bound, and forward "
                    f"would not see that; move {child} by its set_(), or unbind first"
                )
            value = module.get_submodule(child)().reshape(())
            # A compiler finds reads into Python by itself, and a tensor subclass must stay one.
            if not torch.compiler.is_compiling() and type(value) is Tensor:
                value = TensorNumber.of(value, use, name, module)
            values[name] = value
        try:
            for name, value in values.items():
                setattr(module, name, value)
            output = self.call_original(args, kwargs)
            for name, value in values.items():
                if getattr(module, name) is not value:
                    raise ValueError(
                        f"forward of {type(module).__name__} assigns {name}, so it cannot be bound: unbind it"
                    )
        except TypeError as error:
            # Functions that accept only floats name the type that they got; no other code uses this type's name.
            if TensorNumber.__name__ in str(error) and not isinstance(error, RefusedError):
                raise refusal(" or ".join(values), module, str(error)) from error
            raise
        finally:
            use.over = True
            for name, number in before.items():
                setattr(module, name, number)
        return output if torch.compiler.is_compiling() else as_tensors(output)


def bind_number(module: nn.Module, name: str, child: str) -> BoundForward:
    """Let the forward of a module read a child in place of an attribute."""
    forward = BoundForward.of(module) or BoundForward(module).attach()
    number = getattr(module, name)
    setattr(module, name, number)  # on the instance, if it was on the class
    forward.bound += ((name, child, number),)
    return forward


def unbind_number(forward: BoundForward, name: str) -> None:
    """Remove a bound child; after the last one, restore the module's own forward."""
    delattr(forward.module, forward.child(name))
    forward.bound = tuple(entry for entry in forward.bound if entry[0] != name)
    if not forward.bound:
        forward.detach()
