"""One update of all stacked members as one compiled function."""

import functools
import time
import types
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value

from surefoot._engine.backends.functional import Group
from surefoot._engine.backends.stack import Stack, Tensors
from surefoot._engine.backends.updates import Quick, Updates, clip
from surefoot._engine.batches import copied
from surefoot._engine.random_state import RandomState
from surefoot._engine.said import brief
from surefoot._engine.trial import Trial

__all__ = ["Compiled"]

AGREES = 0.01
"""By this share of how far a tensor moved, a compiled update may differ from one that is not."""

NEGLIGIBLE = 1e-5
"""A gradient smaller than this share of the largest one is rounding: Adam moves it by chance."""

ROUNDING = 1e-4
"""What of a loss or a buffer may be rounding."""

TINY = 1e-30
"""Losses that differ by less do not differ."""

MOST_COMPILED = 64
"""So many versions of one function torch keeps, of all trials that share it."""

MOST_CHECKS = 4
"""An update is made both ways so many times in one training; if that is not enough, it is not
compiled."""


class Compiled:
    """The updates of a stack, compiled; whatever is compiled is checked against torch without.

    Where one optimizer does for all members, the gradients and the update are one function; else
    only the gradients are, and the update follows without compilation. Whenever something is
    compiled, an update is made both ways and compared: at the second update of the first stack of
    its kind, for a batch of other shapes, or as Python values in the model changed. If they
    differ, or it cannot be compiled, all goes on without, and :attr:`refusal` says why.

    Args:
        trial: what is trained.
        stack: the members' tensors.
        updates: how the members are updated without compilation.
        randomness: see :class:`~surefoot._engine.backends._backend.Job`.
    """

    def __init__(self, trial: Trial, stack: Stack, updates: Updates, randomness: str) -> None:
        self.refusal = ""
        """Why it is not compiled (any more); empty while it is."""
        self.seconds = 0.0
        """What the updates took that were made both ways, compiling included."""
        self._trial = trial
        self._stack = stack
        self._updates = updates
        self._randomness = randomness
        self._parameters = {name: each.detach() for name, each in stack.parameters.items()}
        self._whole = isinstance(updates, Quick) and trial.accumulate == 1
        self._checks = 0
        self._begun = False

    def update(
        self, batches: Sequence[Any], factor: float, gradients: Callable[[], Tensor]
    ) -> Tensor:
        """Make one update and return the loss of each member before it, [K].

        Args:
            batches: those of the update.
            factor: of the schedule.
            gradients: computes them without compilation; returns the losses.
        """
        if not self.refusal and self._begun:
            self.refusal = self._function.refusal
        if not self.refusal and self._begun and self._function.sound:
            try:
                return self._quickly(batches, factor)
            except _ChangedError:
                pass
            except Exception as error:
                self.refusal = f"compiling failed ({brief(error)})"
        if self._checks >= MOST_CHECKS:
            self.refusal = f"it would have to be compiled more than {MOST_CHECKS} times"
        if self.refusal or not self._begun:  # the first update makes the optimizer's state
            self._begun = True
            return self._eagerly(factor, gradients)
        self._checks += 1
        self._function.sound = False
        started = time.perf_counter()
        try:
            return self._checked(batches, factor, gradients)
        except BaseException:  # what was compiled for it may be wrong, and is not to be met again
            _function.cache_clear()
            raise
        finally:
            self.seconds += time.perf_counter() - started

    def _eagerly(self, factor: float, gradients: Callable[[], Tensor]) -> Tensor:
        losses = gradients()
        self._updates.step(factor, self._trial.clip_norm)
        return losses

    def _quickly(self, batches: Sequence[Any], factor: float) -> Tensor:
        state = self._state()
        losses = self._run(state, batches, factor)
        self._stack.buffers = state.buffers
        if not self._whole:
            for name, stack in self._stack.parameters.items():
                stack.grad = state.grads[name]
            self._updates.step(factor, self._trial.clip_norm)
        return losses

    def _checked(
        self, batches: Sequence[Any], factor: float, gradients: Callable[[], Tensor]
    ) -> Tensor:
        """Make an update without compilation, and a compiled one of a twin; compare them."""
        random, twin = RandomState(), self._state().copied()
        start = {name: each.clone() for name, each in twin.parameters.items()}
        compiled: Tensor | None = None
        try:
            with self._stack.unchanged(), self._function.may_compile():
                compiled = self._run(twin, copied(batches), factor)
        except Exception as error:
            self.refusal = f"compiling failed ({brief(error)})"
        random.restore()
        losses = gradients()
        grads = {
            name: None if stack.grad is None else stack.grad.clone()
            for name, stack in self._stack.parameters.items()
        }
        self._updates.step(factor, self._trial.clip_norm)
        if compiled is not None:
            if self._whole:
                ends = twin.parameters, self._parameters
                own, other = ({n: end[n] - start[n] for n in start} for end in ends)
            else:
                own, other = twin.grads, grads
            before = start if self._whole else {}
            self.refusal = _difference(losses, compiled, grads, own, other, before)
        self._function.sound, self._function.refusal = not self.refusal, self.refusal
        return losses

    @functools.cached_property
    def _groups(self) -> list[Group]:
        """What updates the stacks; there is something after the first update."""
        return self._updates.groups() if self._whole else []  # type: ignore[attr-defined]

    @functools.cached_property
    def _function(self) -> "_Function":
        """What is compiled, or will be; other stacks that are like this one in all of it use it."""
        loss = self._trial.objective or self._trial.loss
        family = (
            *(getattr(loss, "__module__", ""), getattr(loss, "__qualname__", "")),
            *(*self._stack.kinds, self._stack.wiring, self._randomness, self._trial.clip_norm),
            *(self._trial.accumulate, str(self._trial.autocast), str(self._trial.device)),
            *(_kinds(self._parameters), _kinds(self._stack.buffers), _kinds(self._stack.frozen)),
            *(repr(group.options) + group.form.__name__ for group in self._groups),
            *((*group.names, _kinds(group.rates), _kinds(group.state)) for group in self._groups),
        )
        return _function(_update if self._whole else _gradients, family, self._stack.count)

    def _run(self, state: "_State", batches: Sequence[Any], factor: float) -> Tensor:
        """Make the update of a state in place, or add up its gradients; return the losses."""
        function, stack, randomness = self._function, self._stack, self._randomness
        with torch.no_grad():
            if self._whole:
                losses, state.buffers = function(
                    *(stack, state.parameters, state.buffers, batches[0], randomness),
                    *(
                        state.groups,
                        torch.tensor(factor, dtype=torch.float64),
                        self._trial.clip_norm,
                    ),
                )
                return losses
            total: Tensor | None = None
            for batch in batches:
                losses, grads, state.buffers = function(
                    stack, state.parameters, state.buffers, batch, randomness, len(batches)
                )
                total = losses if total is None else total + losses
                for name, grad in grads.items():
                    state.grads[name] = state.grads[name] + grad if name in state.grads else grad
            return total  # type: ignore[return-value]

    def _state(self) -> "_State":
        return _State(self._parameters, self._stack.buffers, self._groups)


class _State:
    """The tensors that an update changes."""

    def __init__(self, parameters: Tensors, buffers: Tensors, groups: list[Group]) -> None:
        self.parameters = parameters
        self.buffers = buffers
        self.groups = groups
        self.grads: Tensors = {}

    def copied(self) -> "_State":
        """Return the same with tensors of its own."""
        own = [
            group._replace(
                state={
                    key: [None if each is None else each.clone() for each in tensors]
                    for key, tensors in group.state.items()
                }
            )
            for group in self.groups
        ]
        return _State(copied(self.parameters), copied(self.buffers), own)


class _ChangedError(Exception):
    """What was compiled does not serve any more: something in the trial changed."""


def _update(
    stack: Stack,
    parameters: Tensors,
    buffers: Tensors,
    batch: Any,
    randomness: str,
    groups: list[Group],
    factor: Tensor,
    clip_norm: float | None,
) -> tuple[Tensor, Tensors]:
    """The update of all members; what is compiled."""
    losses, grads, new = _gradients(stack, parameters, buffers, batch, randomness, 1)
    if clip_norm is not None:
        clip(list(grads.values()), clip_norm)
    for group in groups:
        group.update(parameters, grads, factor)
    return losses, new


def _gradients(
    stack: Stack, parameters: Tensors, buffers: Tensors, batch: Any, randomness: str, parts: int
) -> tuple[Tensor, Tensors, Tensors]:
    """Losses ÷ parts, their gradients, and the buffers after; what is compiled."""

    def total(own, state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  torch.compile
        losses, new = stack.forward(own, state, batch, randomness)
        return (losses / parts).sum(), (losses, new)

    grads, (_, (losses, new)) = grad_and_value(total, has_aux=True)(parameters, buffers)
    return losses.double() / parts, grads, new


class _Function:
    """A compiled function, which other shards of like trials use too.

    Its code is a copy of its own, for torch keeps what it compiled with the code, up to a limit.
    """

    def __init__(self, body: types.FunctionType, count: int) -> None:
        self._count = count
        code = body.__code__.replace()
        own = types.FunctionType(code, body.__globals__, body.__name__, None, body.__closure__)
        self._call: Any = torch.compile(
            *(own,),
            fullgraph=True,
            dynamic=False,
            backend=self._backend,
            options={"guard_filter_fn": lambda guards: [_may_change(each) for each in guards]},
        )
        self._may_compile = False
        self.sound = False
        """Whether all that it was compiled for was checked, and came out as without compilation."""
        self.refusal = ""
        """Why it is not to be used, once something that it was compiled for came out otherwise."""

    def __call__(self, *args: Any) -> Any:
        """Call it as it was compiled.

        Raises:
            _ChangedError: it would have to be compiled again; nothing was done.
        """
        try:
            return self._call(*args)
        except Exception as error:
            refused = isinstance(getattr(error, "inner_exception", None), _ChangedError)
            if refused or type(error).__name__ == "FailOnRecompileLimitHit":
                raise _ChangedError from None
            raise

    @contextmanager
    def may_compile(self) -> Generator[None]:
        """Allow compilation in the block."""
        self._may_compile = True
        try:
            with (
                warnings.catch_warnings(action="ignore"),
                torch._dynamo.config.patch(
                    recompile_limit=MOST_COMPILED, allow_unspec_int_on_nn_module=True
                ),
            ):
                yield
        finally:
            self._may_compile = False

    def _backend(self, graph: Any, inputs: Any, **_: Any) -> Any:
        if not self._may_compile:
            raise _ChangedError
        return _lower(graph, inputs, self._count)


def _lower(graph: Any, inputs: Any, count: int) -> Any:
    """Compile a graph: random numbers are torch's, threads as many as there are at each call.

    Channels come last for stacked convolutions only: of a CNN with 28 × 28 inputs that made an
    update of eight members 1.3 times as quick, and one of a single member 1.3 times slower.
    """
    from torch import _inductor

    from surefoot._engine.backends.rewrites import Rewrites

    options = {
        "fallback_random": True,
        "cpp.dynamic_threads": True,
        "layout_optimization": count > 1,
        "size_asserts": False,  # of what this very function computed
        "post_grad_custom_pre_pass": Rewrites(),
    }
    return _inductor.compile(graph, inputs, options)


@functools.lru_cache(maxsize=32)
def _function(body: Any, family: tuple[Any, ...], count: int) -> _Function:  # noqa: ARG001
    return _Function(body, count)


def _kinds(tensors: Any) -> Any:
    """Return of tensors, in containers, all that compiled code relies on; it can be hashed."""
    if isinstance(tensors, dict):
        return tuple((name, _kinds(each)) for name, each in tensors.items())
    if isinstance(tensors, list):
        return tuple(map(_kinds, tensors))
    if tensors is None:
        return None
    return (*tensors.shape, *tensors.stride(), tensors.dtype, tensors.device)


_THEIRS = (
    *("L['batch']", "L['buffers']", "L['stack']._model"),
    *("L['stack']._trial.loss", "L['stack']._trial.objective"),
)
"""Of a compiled update's arguments, what users have in hand; the rest is in a function's family."""

_NOT_THEIRS = (
    *("G['__import_torch']", "G['__import_torch_dot_", "G['__import_surefoot_dot_"),
    *("G['__import_contextlib']", "builtins_dict"),
    *("G['_gradients']", "G['grad_and_value']", "G['clip']"),
)
"""Globals that nobody changes in the middle of a training: torch's, Python's and our own."""


def _may_change(guard: Any) -> bool:
    """Return whether torch must look before each call if something is as it was when compiled.

    Args:
        guard: torch's entry for what it would look at.
    """
    source = guard.orig_guard.name  # an expression, such as L['batch'][0]
    if "L['" in source:
        return any(each in source for each in _THEIRS)
    ours = any(each in source for each in _NOT_THEIRS)
    return not ours and guard.guard_type != "FUNCTORCH_STACK_MATCH"


def _difference(
    losses: Tensor,
    compiled: Tensor,
    grads: Mapping[str, Tensor | None],
    own: Tensors,
    other: Mapping[str, Tensor | None],
    before: Mapping[str, Tensor],
) -> str:
    """Return how a compiled update differs from one without, "" if by no more than rounding.

    Args:
        losses: of the update without, [K].
        compiled: those of the compiled one.
        grads: the gradients without.
        own: what the compiled update did to each parameter: how far it moved it, or its gradient.
        other: the same without.
        before: the parameters that were moved, for a small step is rounded as they are.
    """
    finite = losses.isfinite() & compiled.isfinite()
    apart = (losses - compiled).abs()[finite] > ROUNDING * losses.abs()[finite] + TINY
    if bool(apart.any()) or bool((losses.isfinite() != compiled.isfinite()).any()):
        return "its loss comes out different when compiled"
    known = [grad[finite].abs() for grad in grads.values() if grad is not None]
    largest = max((float(grad.max()) for grad in known if grad.numel()), default=0.0)
    for name, expected in other.items():
        grad = grads[name]
        if grad is None or expected is None:
            return f"its parameter {name!r} has no gradient"
        sure = grad[finite].abs() > NEGLIGIBLE * largest
        off = float((own[name] - expected)[finite][sure].norm())
        size = float(before[name][finite][sure].norm()) if name in before else 0.0
        step = float(expected[finite][sure].norm())
        if not off <= AGREES * step + torch.finfo(expected.dtype).eps * size:
            return f"its parameter {name!r} comes out different when compiled"
    return ""
