"""All members of a seed at once: their models stacked into one."""

import copy
import math
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from surefoot._engine import groups
from surefoot._engine.backends._backend import (
    Job,
    Report,
    UnfitError,
    cut,
    noise_seed,
    shards,
)
from surefoot._engine.backends.compiled import Compiled
from surefoot._engine.backends.experience import Experience, Kind
from surefoot._engine.backends.loop import Pace, as_member, release
from surefoot._engine.backends.refusals import reason, refuse
from surefoot._engine.backends.stack import Stack
from surefoot._engine.backends.updates import Exact, Quick, Updates, become_views, may_be_quick
from surefoot._engine.halving import Reached, halve
from surefoot._engine.random_state import RandomState
from surefoot._engine.said import brief
from surefoot._engine.training import DETACHED, first_change, judge, sums
from surefoot.errors import InputError
from surefoot.records import Member

__all__ = ["Fused", "Shard", "Shards", "finish"]

LOOK_EVERY = 50
"""After so many updates it is looked which members are still finite."""

WON_BACK = 2.0
"""So many times what compiling again costs must be saved when lost members leave the stack."""


@contextmanager
def _without_warnings_of_slowness() -> Generator[None]:
    """Let torch compute an operation member by member without a word; what that costs is timed."""
    functorch: Any = getattr(torch._C, "_functorch", None)
    switch = getattr(functorch, "_set_vmap_fallback_warning_enabled", lambda _: None)
    switch(False)
    try:
        yield
    finally:
        switch(True)


class Fused:
    """The members of each seed stacked into one model, trained at once.

    Args:
        compiled: whether the update of the stack is compiled, where that can be.
        alone: whether each stack is one member, for models that fill a core by themselves.
    """

    name = "fused"

    def __init__(self, *, compiled: bool = False, alone: bool = False) -> None:
        self.refusal = ""
        """Why it was not compiled, or not to the end; empty if it was, or should not be."""
        self._compiled = compiled
        self._alone = alone

    def run(self, job: Job, report: Report) -> list[Member]:
        """Train every member; see :class:`~surefoot._engine.backends._backend.Backend`.

        Raises:
            UnfitError: the trial cannot be fused; nothing is returned of it.
        """
        if job.keep is not None:
            cohort = Shards(job, report, compiled=self._compiled)
            members = halve(cohort, job, report)
            self.refusal = cohort.refusal
            return members
        members: list[Member] = []
        for seed, lrs in shards(job.members):
            for part in cut(lrs, 1 if self._alone else job.together):
                members += self._train(job, part, seed, report)  # and its memory is free again
            job.batches[seed].forget()
        return members

    def _train(self, job: Job, lrs: Sequence[float], seed: int, report: Report) -> list[Member]:
        shard = Shard(job, lrs, seed, to_compile=self._compiled)
        if self._compiled:
            shard.compile()
        members = finish(shard, report)
        self.refusal = self.refusal or shard.refusal
        return members


def finish(shard: "Shard", report: Report) -> list[Member]:
    """Train a shard to the end of its budget and return its members.

    How long a compiled one took is remembered for the next sweep.
    """
    steps, begun, lrs = shard.job.trial.steps, shard.updates, list(shard.lrs)
    pace = Pace((steps - begun) * len(lrs), report)
    known, seen = shard.experience(), None
    least, going = math.inf, shard.finite
    while shard.updates < steps and going:
        started, before, count = time.perf_counter(), shard.compiling, len(shard.lrs)
        updates = min(LOOK_EVERY, steps - shard.updates)
        shard.advance(updates, pace)
        going = shard.finite  # for which the device must be done
        spent = time.perf_counter() - started - (shard.compiling - before)
        least = min(least, spent / (updates * count))  # the machine may be busy now and then
        if count == len(lrs) and shard.compiled is not None:
            seen = shard.compiling, None if shard.refusal else max(0.0, least)
        shard.let_lost_go(least)
    if seen is not None and shard.updates - begun > LOOK_EVERY:
        known.remember(*seen)
    members = sorted(shard.judge(), key=lambda member: lrs.index(member.lr))
    pace.finish(members)
    return members


class Shards:
    """A :class:`~surefoot._engine.halving.Cohort` of shards, all in memory at once.

    There is one for each seed, or several where so many members do not fit into one.

    Args:
        job: what to train.
        report: told of the updates.
        begun: a shard of the job that was trained before the first rung; its updates are reported.
        compiled: whether the updates of the stacks are compiled, anew after each rung.
    """

    def __init__(
        self, job: Job, report: Report, begun: "Shard | None" = None, *, compiled: bool = False
    ) -> None:
        self._job = job
        self._report = report
        self._shards = [
            begun
            if begun is not None and (begun.seed, begun.lrs) == (seed, part)
            else Shard(job, part, seed, to_compile=compiled)
            for seed, lrs in shards(job.members)
            for part in cut(lrs, job.together)
        ]
        self._refusal = ""
        if compiled:
            for shard in self._shards:
                shard.compile()

    @property
    def refusal(self) -> str:
        """Why a shard is not compiled although it should be; empty if each is."""
        refusals = (shard.refusal for shard in self._shards if shard.refusal)
        return self._refusal or next(refusals, "")

    def advance(self, update: int, reached: Reached) -> None:
        for shard in self._shards:
            pace = Pace((update - shard.updates) * len(shard.lrs), self._report)
            while shard.updates < update and shard.finite:
                shard.advance(min(LOOK_EVERY, update - shard.updates), pace)
                if shard.compiled is None or shard.refusal:
                    shard.let_lost_go()
            members = shard.judge()
            pace.finish([])
            release(self._job, shard.seed)
            for member in members:
                reached(member)

    def keep(self, members: Sequence[tuple[float, int]]) -> None:
        self._refusal = self.refusal  # also of shards that end here
        going = set(members)
        kept: list[Shard] = []
        for shard in self._shards:
            indexes = [i for i, lr in enumerate(shard.lrs) if (lr, shard.seed) in going]
            if indexes:
                shard.keep(indexes)
                kept.append(shard)
        self._shards = kept


class Shard:
    """The members of one seed in training together, advanced as far as one asks.

    As :class:`~surefoot._engine.training.Training` it owns its random generators. A member whose
    loss is no longer finite goes on in the stack until it is let go, and its curve ends there all
    the same.

    Args:
        job: what to train.
        lrs: the rate of each member.
        seed: their seed.
        to_compile: whether :meth:`compile` will be called, which one optimizer for all suits best.

    Raises:
        UnfitError: the trial cannot be fused.
    """

    def __init__(
        self, job: Job, lrs: Sequence[float], seed: int, *, to_compile: bool = False
    ) -> None:
        self.job = job
        self.compiled: Compiled | None = None
        self._to_compile = to_compile
        self.lrs = lrs
        self.seed = seed
        self._history: list[Tensor] = []
        self._gone: list[Member] = []
        """Members that were lost and let go since it was last judged."""
        try:
            self._build()
        except InputError:
            raise
        except Exception as error:
            raise UnfitError(reason(error)) from error

    def _build(self) -> None:
        """Make the stack, and what updates it."""
        trial, count = self.job.trial, len(self.lrs)
        self._random = RandomState.seeded(self.seed)
        with self._random.active():
            model = trial.build_model()
            optimizer = trial.build_optimizer(model, self.lrs[0])
            model.train()
        refuse(model, optimizer)
        noise = noise_seed(self.job, self.lrs[0], self.seed)
        if noise is not None:
            self._random = RandomState.seeded(noise)
        self._factors = trial.factors(optimizer)
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self._trained = [
            name for name, p in model.named_parameters() if p.requires_grad and id(p) in held
        ]
        self.stack = Stack(trial, model, count)
        self._kind = Kind.of(self.job, self.stack, optimizer, self.job.batches[self.seed][0])
        self._frozen = [(name, p) for name, p in model.named_parameters() if not p.requires_grad]
        self._frozen_sums = sums(self._frozen)
        base = None if self.job.exact else self._quick_rates(model)
        self.exact = base is None
        if base is None:
            self._updates: Updates = self._each_its_own(model)
        else:
            self._updates = Quick(self.stack.parameters, model, optimizer, base)

    def compile(self) -> None:
        """Make all further updates compiled, as far as that goes; see :attr:`refusal`.

        What was refused stays so.
        """
        refusal = self.refusal
        self.compiled = Compiled(self.job.trial, self.stack, self._updates, self.job.randomness)
        self.compiled.refusal = refusal

    def experience(self, count: int | None = None, *, workers: bool = False) -> Experience:
        """Return what is known of compiling such a stack.

        Args:
            count: how many members it has; None is as many as this one.
            workers: whether it is trained in worker processes.
        """
        return Experience.of(self._kind, count or len(self.lrs), workers=workers)

    @property
    def compiling(self) -> float:
        """Seconds that compiling its updates, and checking them, took so far."""
        return 0.0 if self.compiled is None else self.compiled.seconds

    @property
    def refusal(self) -> str:
        """Why it is not compiled although it should be; empty if it is, or should not be."""
        return "" if self.compiled is None else self.compiled.refusal

    def _quick_rates(self, model: nn.Module) -> list[tuple[float, ...]] | None:
        """Return the rates of each member's groups if quick updates do; None if they do not."""
        tried = copy.deepcopy(model)
        with RandomState.seeded(self.seed).active():
            optimizers = [self.job.trial.build_optimizer(tried, lr) for lr in self.lrs]
        peak = max(map(self._factors, range(self.job.trial.steps)))
        exact = False if self._to_compile and self.job.exact is None else self.job.exact
        if may_be_quick(exact, optimizers, tried, peak):
            return [groups.read(each) for each in optimizers]
        return None

    def _each_its_own(self, frozen: nn.Module) -> Exact:
        """Build the model and the optimizer of each member, on views of the stack."""
        models: list[nn.Module] = []
        optimizers: list[torch.optim.Optimizer] = []
        for index, lr in enumerate(self.lrs):
            with RandomState.seeded(self.seed).active():
                models.append(self.job.trial.build_model())
                become_views(models[-1], self.stack.parameters, frozen, index)
                optimizers.append(self.job.trial.build_optimizer(models[-1], lr))
        return Exact(self.stack.parameters, models, optimizers)

    @property
    def updates(self) -> int:
        """Updates made so far."""
        return len(self._history)

    @property
    def finite(self) -> bool:
        """Whether any member is still finite."""
        return not self._history or bool(self._history[-1].isfinite().any())

    def advance(self, updates: int, pace: Pace | None = None) -> None:
        """Make further updates.

        Raises:
            UnfitError: the trial does something that cannot be done for all members at once.
        """
        try:
            with self._random.active(), _without_warnings_of_slowness():
                for _ in range(updates):
                    self._update(self._factors(self.updates))
                    if pace is not None:
                        pace.update(count=len(self.lrs))
        except UnfitError:
            raise
        except Exception as error:
            raise UnfitError(reason(error)) from error

    def keep(self, indexes: Sequence[int]) -> None:
        """Let all members go but these: stacks, states and losses are those of them alone.

        They go on as in a shard that never had others, with the numbers that they draw then, if
        ``randomness`` is "same".

        Args:
            indexes: their numbers, ascending, at least one.

        Raises:
            UnfitError: the model or an optimizer holds the stacks in a way that cannot be
                followed, or there is no memory for others.
        """
        self._check_kept()
        try:
            self.stack.keep(indexes)
            self._updates.keep(self.stack.parameters, indexes)
        except Exception as error:
            raise UnfitError(reason(error)) from error
        self._history = [losses[list(indexes)] for losses in self._history]
        self.lrs = [self.lrs[index] for index in indexes]
        if self.compiled is not None:
            self.compile()

    def _check_kept(self) -> None:
        self.stack.check_kept()
        self._updates.check_kept()

    def let_lost_go(self, seconds: float = 0.0) -> None:
        """Let members go that are not finite any more, where it pays and changes nothing else.

        Args:
            seconds: what an update of a member takes, which must win back compiling again.
        """
        if self.job.randomness != "same" or not self._history:
            return
        finite = self._history[-1].isfinite().tolist()
        going = [index for index, is_finite in enumerate(finite) if is_finite]
        if len(going) in (0, len(finite)) or not self._pays(len(going), seconds):
            return
        ended = zip(self.lrs, self.curves(), finite, strict=True)
        lost = [
            as_member(lr, self.seed, curve, math.inf)
            for lr, curve, is_finite in ended
            if not is_finite
        ]
        try:
            self._check_kept()
        except UnfitError:
            return
        self.keep(going)
        self._gone += lost

    def _pays(self, going: int, seconds: float) -> bool:
        """Return whether going on with fewer members saves more than compiling for them costs."""
        left = self.job.trial.steps - self.updates
        if self.compiled is None or self.refusal:
            return left > 0
        saved = left * (len(self.lrs) - going) * seconds
        return saved > WON_BACK * self.experience(going).waiting

    def curves(self) -> list[list[float]]:
        """Return the losses of each member, up to the first that is not finite."""
        if not self._history:
            return [[] for _ in self.lrs]
        return [_until_lost(losses) for losses in torch.stack(self._history).T.tolist()]

    def judge(self) -> list[Member]:
        """Return every member with the loss that it is judged by; one that was let go, once.

        Raises:
            UnfitError: the optimizers changed what the members share.
        """
        changed = first_change(self._frozen_sums, sums(self._frozen))
        if changed is not None:
            raise UnfitError(
                f"its optimizer changes the frozen parameter {changed!r}, as an average of others"
            )
        self._updates.check()
        gone, self._gone = self._gone, []
        return gone + [self._judged(index, losses) for index, losses in enumerate(self.curves())]

    def _judged(self, index: int, losses: list[float]) -> Member:
        lr = self.lrs[index]
        random = copy.copy(self._random)  # where each member's own would be
        try:
            loss = judge(self.job.trial, self.stack.member(index), losses, random)
        except InputError:
            raise
        except Exception as error:
            if self.stack.has_counted:  # it may miss what came to the model beside the counters
                raise UnfitError(f"validation raised {brief(error)}") from error
            return as_member(lr, self.seed, losses, math.inf, error)
        return as_member(lr, self.seed, losses, loss)

    def _update(self, factor: float) -> None:
        trial = self.job.trial
        first = self.updates * trial.accumulate
        source = self.job.batches[self.seed]
        batches = [source[number] for number in range(first, first + trial.accumulate)]
        if self.compiled is not None:
            losses = self.compiled.update(batches, factor, lambda: self._differentiate(batches))
        else:
            losses = self._differentiate(batches)
            self._updates.step(factor, trial.clip_norm)
        self._history.append(losses)

    def _differentiate(self, batches: Sequence[Any]) -> Tensor:
        """Compute the gradients of one update; return the losses, [K]."""
        for name in self._trained:
            self.stack.parameters[name].grad = None
        parts: list[Tensor] = []
        for batch in batches:
            losses = self.stack.losses(batch, self.job.randomness)
            if not losses.requires_grad:
                raise InputError(DETACHED)
            parts.append(losses.detach().double() / len(batches))
            (losses / len(batches)).sum().backward()
        return sum(parts[1:], parts[0])


def _until_lost(losses: list[float]) -> list[float]:
    lost = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
    return losses[: lost + 1]
