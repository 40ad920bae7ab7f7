"""Which backend runs a job, and why."""

from surefoot._engine.backends._backend import Job, Report, UnfitError
from surefoot._engine.backends.agreement import check_agreement, refuse_leftovers, sample
from surefoot._engine.backends.fused import Fused
from surefoot._engine.backends.loop import Loop
from surefoot._engine.backends.pilot import PILOT, Pilot
from surefoot._engine.backends.processes import Processes
from surefoot._engine.backends.room import fitted
from surefoot.records import Engine, Member

__all__ = ["BACKENDS", "run_job"]

BACKENDS = ("auto", "loop", "processes", "fused", "compiled")


def run_job(
    job: Job, backend: str, workers: int | None, report: Report
) -> tuple[list[Member], Engine]:
    """Train the members of a job, and say what trained them.

    Args:
        job: what to train.
        backend: one of :data:`BACKENDS`.
        workers: how many processes; None is one for each core.
        report: told of the progress.

    Raises:
        InputError: the trial itself is wrong, or cannot be trained by the backend asked for.
    """
    if backend == "auto":
        members, engine = _choose(job, workers, report)
    else:
        members, engine = _run(job, backend, workers, report)
    found = {(member.lr, member.seed): member for member in members}
    return [found[each] for each in job.members], engine


def _run(
    job: Job, backend: str, workers: int | None, report: Report
) -> tuple[list[Member], Engine]:
    engine = Engine(backend, "asked for")
    if backend == "loop":
        return Loop().run(job, report), engine
    if backend == "processes":
        return Processes(workers).run(job, report), engine
    try:
        alone = sample(job)
        compiled = backend == "compiled"
        job, said = fitted(job, alone.seconds, compiled=compiled)
        try:
            check_agreement(alone)
        finally:
            refuse_leftovers(alone)
        engine = Engine(backend, "; ".join(["asked for", *said]))
        trained: Fused | Processes = Fused(compiled=compiled)
        if workers is not None and workers > 1:
            trained = Processes(workers, "compiled" if compiled else "fused")
        members = trained.run(job, report)
    except UnfitError as error:
        raise UnfitError(f"This trial cannot be fused: {error}. backend='auto' runs it.") from error
    if trained.refusal:
        return members, Engine("fused", "; ".join([f"not compiled: {trained.refusal}", *said]))
    return members, engine


def _choose(job: Job, workers: int | None, report: Report) -> tuple[list[Member], Engine]:
    """Time each way on the first updates and go on with the quickest."""
    if len(job.members) == 1:
        return Loop().run(job, report), Engine("loop", "one member alone")
    if job.trial.steps <= PILOT:
        return Loop().run(job, report), Engine("loop", f"no more than {PILOT} updates each")
    return Pilot(job, workers, report).run()
