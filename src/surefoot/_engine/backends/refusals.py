"""What cannot be fused, and how it is said."""

from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot._engine.backends._backend import UnfitError
from surefoot._engine.said import brief

__all__ = ["reason", "refuse"]

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
    if meaning is None:
        return f"its members cannot be computed together ({brief(error, 200)})"
    return f"{meaning} ({brief(error)})"


def refuse(model: nn.Module, optimizer: Optimizer) -> None:
    """Refuse what would go wrong in a stack without an error.

    Raises:
        UnfitError: it is one of these, which the message names.
    """
    for module in model.modules():
        kind = type(module).__name__
        if isinstance(module, nn.RNNBase):
            raise UnfitError(f"it has an nn.{kind}, which torch cannot stack")
        if module._backward_hooks or module._backward_pre_hooks:
            raise UnfitError(f"its {kind} has a backward hook, which would see all members at once")
    for name, parameter in model.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise UnfitError(
                f"its parameter {name!r} has a gradient hook, which would not be called"
            )
    _refuse_aliases(model)
    own = {id(parameter) for parameter in model.parameters()}
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if held - own:
        raise UnfitError("its optimizer also trains parameters that are not the model's")


def _refuse_aliases(model: nn.Module) -> None:
    """Refuse two tensors of the model that share memory: in a stack they would part."""
    owners: dict[int, str] = {}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        place = tensor.untyped_storage().data_ptr()
        if tensor.numel() and owners.setdefault(place, name) != name:
            raise UnfitError(f"its tensors {owners[place]!r} and {name!r} share memory")
    for module in model.modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor) and value.untyped_storage().data_ptr() in owners:
                owner = owners[value.untyped_storage().data_ptr()]
                raise UnfitError(f"its attribute {key!r} shares memory with its tensor {owner!r}")
