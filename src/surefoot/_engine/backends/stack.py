"""K models of one kind as one: each tensor stacked, member first."""

import copy
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import vmap

from surefoot._engine.backends._backend import Randomness, UnfitError
from surefoot._engine.batches import map_leaves
from surefoot._engine.memory import Memory
from surefoot._engine.trial import Trial

__all__ = ["Stack", "Tensors", "rows"]

Tensors = dict[str, Tensor]

_PLAIN = (bool, int, float, str)
"""Kinds of attributes in which a model counts, or says what state it is in."""


class Stack:
    """The tensors of K models, and the loss of all of them in one call.

    Trainable parameters and buffers are stacked to [K, …]. Frozen parameters, which nothing
    changes, are not: all members share them. The loss is computed by the user's own
    callables on the first model, whose tensors are exchanged meanwhile: so an objective that reads
    ``model[0].weight`` reads each member's.

    Args:
        trial: what computes the loss.
        model: a fresh model of the members' seed; it lends its structure and its values.
        count: K.
    """

    def __init__(self, trial: Trial, model: nn.Module, count: int) -> None:
        self._trial = trial
        self._model = model
        self._fresh = copy.deepcopy(model)
        self._places = _places(model)
        self.wiring = tuple((place.key, place.name) for place in self._places)
        """Which tensor is where, in the order of the modules; tied ones have one name."""
        self.frozen = {
            name: each for name, each in model.named_parameters() if not each.requires_grad
        }
        self.count = count
        self.kinds = [type(each).__qualname__ for each in model.modules()]
        self.buffers = {name: _repeated(each, count) for name, each in model.named_buffers()}
        self.parameters = {
            name: _repeated(parameter, count).requires_grad_()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        """Leaves [K, …]; the ``grad`` of each is that of all members."""

    def losses(self, batch: Any, randomness: Randomness) -> Tensor:
        """Return the loss of each member on the batch, [K], ready for backward."""
        losses, buffers = self.forward(self.parameters, self.buffers, batch, randomness)
        self.buffers = {name: buffer.contiguous() for name, buffer in buffers.items()}
        return losses

    def forward(
        self, parameters: Tensors, buffers: Tensors, batch: Any, randomness: str
    ) -> tuple[Tensor, Tensors]:
        """Return the loss of each member and its buffers after, at given tensors [K, …].

        What is inside has no annotations, which torch.compile cannot trace.
        """

        def one(parameters, buffers):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            return self._forward_one(parameters, buffers, batch)

        return vmap(one, randomness=randomness)(parameters, buffers)

    def _forward_one(
        self, parameters: Tensors, buffers: Tensors, batch: Any
    ) -> tuple[Tensor, Tensors]:
        with self._exchanged(parameters | buffers):
            loss = self._trial.compute_loss(self._model, batch)
            return loss, dict(self._model.named_buffers())

    @contextmanager
    def unchanged(self) -> Generator[None]:
        """Put back after the block what the model holds beside the stacks, such as counters."""
        memory = Memory()
        memory.keep(*[vars(module) for module in self._model.modules()])
        try:
            yield
        finally:
            memory.restore()

    def grads(self, index: int) -> dict[str, Tensor | None]:
        """Return the gradient of each trainable parameter of one member."""
        return {
            name: None if stack.grad is None else stack.grad[index]
            for name, stack in self.parameters.items()
        }

    def member(self, index: int) -> nn.Module:
        """Return a model of its own with copies of the tensors of one member.

        Counters and flags, which are alike in all members, are those after the last update.
        """
        model = copy.deepcopy(self._fresh)
        for module, name, value in self._counted(model):
            setattr(module, name, value)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in self.parameters:
                    parameter.copy_(self.parameters[name][index])
            for name, buffer in model.named_buffers():
                buffer.data = self.buffers[name].detach()[index].clone()
        return model

    def check_kept(self) -> None:
        """Refuse a model that cannot go on with a part of the members.

        Raises:
            UnfitError: it has a tensor of all members in an attribute.
        """

        def look(leaf: Any) -> None:
            if isinstance(leaf, Tensor) and is_batched(leaf):
                raise UnfitError(
                    "it keeps a tensor in an attribute that is no buffer, which cannot be followed "
                    "when members are let go"
                )

        is_batched = torch._C._functorch.is_batchedtensor  # type: ignore[attr-defined]
        for module in self._model.modules():
            map_leaves(look, dict(vars(module)))

    def keep(self, indexes: Sequence[int]) -> None:
        """Let all members go but these, in new tensors; the order is that of ``indexes``."""
        self.count = len(indexes)
        self.buffers = {name: rows(each, indexes) for name, each in self.buffers.items()}
        self.parameters = {
            name: rows(each.detach(), indexes).requires_grad_()
            for name, each in self.parameters.items()
        }

    @property
    def has_counted(self) -> bool:
        """Whether training changed a counter or a flag in the model."""
        return bool(self._counted(self._fresh))

    def _counted(self, model: nn.Module) -> list[tuple[nn.Module, str, Any]]:
        """Return the modules of a model, and the numbers in them that training changed."""
        return [
            (own, name, value)
            for own, trained in zip(model.modules(), self._model.modules(), strict=False)
            for name, value in vars(trained).items()
            if type(value) in _PLAIN and value != vars(own).get(name)
        ]

    @contextmanager
    def _exchanged(self, tensors: Tensors) -> Generator[None]:
        """Let the model hold other tensors inside the block, wherever it holds its own."""
        own = [(place, place.held[place.key]) for place in self._places]
        try:
            for place, tensor in own:
                place.held[place.key] = tensors.get(place.name, tensor)
            yield
        finally:
            for place, tensor in own:
                place.held[place.key] = tensor


class _Place(NamedTuple):
    """Where a module holds a tensor, and the name of that tensor in the model."""

    held: dict[str, Tensor]
    key: str
    name: str


def _places(model: nn.Module) -> list[_Place]:
    """Return every place of every module, each once; tied tensors have one name at all places."""
    found: list[_Place] = []
    for names, attribute in (
        (_names(model.named_parameters()), "_parameters"),
        (_names(model.named_buffers()), "_buffers"),
    ):
        for module in model.modules():
            held: dict[str, Tensor | None] = getattr(module, attribute)
            found += [
                _Place(held, key, names[id(each)])  # type: ignore[arg-type]
                for key, each in held.items()
                if each is not None
            ]
    return found


def _names(tensors: Iterable[tuple[str, Tensor]]) -> dict[int, str]:
    return {id(tensor): name for name, tensor in tensors}


def rows(tensor: Tensor, indexes: Sequence[int]) -> Tensor:
    """Return copies of these members of a stack, in the same order of memory."""
    chosen = torch.tensor(indexes, device=tensor.device)
    return torch.empty_like(tensor[: len(indexes)]).copy_(tensor.index_select(0, chosen))


def _repeated(tensor: Tensor, count: int) -> Tensor:
    return tensor.detach().expand(count, *tensor.shape).clone()
