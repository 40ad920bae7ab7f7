"""What cannot be fused, and how it is said."""

from torch import nn
from torch.optim import Optimizer

from surefoot._engine.backends._backend import Unfit

__all__ = ["reason", "refuse_foreign_parameters", "refuse_model"]

_KNOWN = {
    "data-dependent control flow": "it branches on the values of tensors",
    ".item()": "it reads the value of a tensor with .item()",
    "dynamic shape": "the shape of one of its tensors depends on values, as with a boolean mask",
    "in-place": "it writes in place into a tensor that all members share",
    "inplace": "it writes in place into a tensor that all members share",
    "randomness": "it draws random numbers in a way that cannot be stacked",
    "setup_context": "it has an autograd.Function of the old style",
    "not implemented": "it uses an operation that torch cannot stack",
    "not yet support": "it uses an operation that torch cannot stack",
}
"""Words of torch's errors under vmap, and what they mean for the user."""


def reason(error: Exception) -> str:
    """Return in one sentence why a trial cannot be fused, from what torch said."""
    said = str(error)
    meaning = next((known for word, known in _KNOWN.items() if word in said), None)
    first = f"{type(error).__name__}: {said.strip().splitlines()[0] if said.strip() else ''}"
    if meaning is None:
        return f"its members cannot be computed together ({first:.200})"
    return f"{meaning} ({first:.120})"


def refuse_foreign_parameters(model: nn.Module, optimizer: Optimizer) -> None:
    """Refuse an optimizer that also trains what is not the model's."""
    own = {id(parameter) for parameter in model.parameters()}
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if held - own:
        raise Unfit("its optimizer also trains parameters that are not the model's")


def refuse_model(model: nn.Module) -> None:
    """Refuse recurrent layers, which keep their weights apart, and gradient hooks on parameters."""
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            raise Unfit(f"it has an nn.{type(module).__name__}, which torch cannot stack")
    for name, parameter in model.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise Unfit(f"its parameter {name!r} has a gradient hook, which would not be called")
