"""Ctrl-C in a sweep: what had finished is in the exception."""

import math
import sys

import pytest
import torch
from torch.nn.functional import mse_loss

import surefoot as sf
from surefoot.records import Interaction, Sensitivity

LRS = [0.01, 0.03, 0.1, 0.3, 1.0]


def trial(after=math.inf, **changes):
    """Return a line fitted in four updates; the call of its loss after so many is interrupted."""
    calls = []

    def loss(output, target):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return mse_loss(output, target)

    return sf.Trial(
        **{
            "model": lambda: torch.nn.Linear(1, 1, bias=False),
            "optimizer": lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
            "train": [(torch.ones(4, 1), torch.full((4, 1), 3.0))],
            "loss": loss,
            "steps": 4,
            "name": "line",
            **changes,
        }
    )


def interrupted(*given, **options):
    with pytest.raises(sf.Interrupted) as caught:
        sf.sweep(*given, backend="loop", progress=False, **options)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert isinstance(caught.value.__cause__, KeyboardInterrupt)
    return caught.value


def untrained_calls(seeds):
    """Return how often the loss is called before the first update."""
    calls = []

    def loss(output, target):
        calls.append(1)
        return mse_loss(output, target)

    sf.sweep(trial(loss=loss), [0.1], seeds=seeds, backend="loop")
    return len(calls) - 4 * seeds


def test_what_had_finished_is_the_result():
    before = untrained_calls(2)
    error = interrupted(trial(before + 4 * 7 + 2), LRS, seeds=2)
    assert str(error) == (
        "Sweep interrupted: 7 of 10 members had finished; they are in .result of this exception."
    )
    result = error.result
    assert isinstance(result, Sensitivity)
    assert result.reason.startswith("Interrupted after 7 of 10 members. Best at lr ")
    whole = sf.sweep(trial(), LRS, seeds=2, backend="loop")
    losses = {(m.lr, m.seed): m.loss for m in whole.members}
    assert {(m.lr, m.seed): m.loss for m in result.members} == dict(list(losses.items())[:7])
    assert [point.seeds for point in result.points] == [2, 2, 1, 1, 1]
    for point, other in list(zip(result.points, whole.points, strict=True))[:2]:
        assert (point.loss, point.low, point.high) == (other.loss, other.low, other.high)
    one = result.points[2]
    assert one.low == one.loss == one.high == losses[0.1, 0]
    assert result.cost.updates == 4 * 7
    assert (result.untrained, result.steps, result.name) == (whole.untrained, 4, "line")
    assert Sensitivity.from_json(result.to_json()).to_json() == result.to_json()
    sf.plots.text(result)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_without_a_finished_member_there_is_no_result(after):
    error = interrupted(trial(after), LRS, seeds=2)
    assert str(error) == "Sweep interrupted before any of its members had finished."
    assert error.result is None


def test_members_that_all_failed_are_no_result():
    calls = []

    def loss(output, target):
        calls.append(1)
        if len(calls) > before + 3:
            raise KeyboardInterrupt
        return mse_loss(output, target) * (1.0 if len(calls) <= before else math.nan)

    before = untrained_calls(1)
    error = interrupted(trial(loss=loss), LRS, seeds=1)
    assert error.result is None
    assert "members had finished, without a result. No member of the sweep stayed" in str(error)


def test_an_interrupted_refinement_keeps_the_rounds_before_it():
    before = untrained_calls(1)
    plain = interrupted(trial(before + 4 * 5 + 3), LRS, seeds=1, refine=2)
    assert "Interrupted after 5 of 9 members. " in plain.result.reason
    second = interrupted(trial(before + 4 * 6 + 3), LRS, seeds=1, refine=2)
    assert len(second.result.points) == 6


def test_a_backend_that_begins_again_in_a_refinement_forgets_only_that_round(monkeypatch):
    from surefoot._engine.backends import choose

    module = sys.modules["surefoot._sweep.sweep"]
    rounds = []

    def run_job(job, backend, workers, report):
        rounds.append(len(job.members))
        if len(rounds) == 1:
            return choose.run_job(job, "loop", workers, report)
        members = choose.run_job(job, "loop", workers, report)[0]
        report(-8, [])
        report(1, members[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_job", run_job)
    error = interrupted(trial(), LRS, seeds=1, refine=1)
    assert rounds == [5, 2]
    assert len(error.result.members) == 6


@pytest.mark.parametrize("backend", ["processes", "fused"])
def test_other_backends_tell_what_finished_too(backend):
    """A callback of the progress interrupts, as Ctrl-C does between two updates."""

    def stop(done, total, text):
        if text.startswith(("5 of 10", "6 of 10")):
            raise KeyboardInterrupt

    given = trial()
    with pytest.raises(sf.Interrupted, match="of 10 members had finished") as caught:
        sf.sweep(given, LRS, seeds=2, backend=backend, progress=stop, workers=2)
    alone = sf.sweep(given, LRS, seeds=2, backend="loop")
    losses = {(m.lr, m.seed): m.loss for m in alone.members}
    found = caught.value.result.members
    assert len(found) in (5, 6)
    assert [(m.lr, m.seed) for m in found] == sorted(
        ((m.lr, m.seed) for m in found), key=lambda each: each[::-1]
    )
    for member in found:
        assert member.loss == pytest.approx(losses[member.lr, member.seed], rel=1e-5)


# ---------------------------------------------------------------- over settings


def over(after, sizes=(1, 2, 3), seeds=1):
    """Sweep three sizes; the training of the second is interrupted after so many updates."""
    before = untrained_calls(seeds)

    def make(size):
        return trial(before + after if size == 2 else math.inf)

    return interrupted(make, LRS, over={"size": sizes}, seeds=seeds)


def test_over_settings_what_had_finished_is_the_result():
    error = over(4 * 3 + 1)
    assert str(error) == (
        "Sweep interrupted in number 2 of 3, size=2; what had finished is in .result of this "
        "exception."
    )
    result = error.result
    assert isinstance(result, Interaction)
    assert [cell.settings["size"] for cell in result.cells] == [1, 2]
    assert [len(cell.sensitivity.members) for cell in result.cells] == [5, 3]
    assert [(one.settings["size"], one.error) for one in result.failures] == [(3, "interrupted")]
    assert result.reason.startswith("Interrupted in sweep 2 of 3. Best lr ")
    assert "At size=2: Interrupted after 3 of 5 members." in result.reason
    assert result.reason.endswith(" Not swept: size=3.")
    assert result.cost.updates == 4 * (5 + 3)
    sf.plots.text(result)
    assert "interrupted" in str(result.table())


def test_over_settings_a_sweep_without_a_finished_member_was_not_swept():
    result = over(2).result
    assert [cell.settings["size"] for cell in result.cells] == [1]
    assert [one.settings["size"] for one in result.failures] == [2, 3]
    assert result.reason.endswith(" Not swept: size=2; size=3.")


def test_over_settings_interrupted_at_once_there_is_no_result():
    error = over(2, sizes=(2, 3))
    assert error.result is None
    assert str(error) == (
        "Sweep interrupted in number 1 of 2, size=2, before any of its members had finished."
    )


def test_over_settings_a_failure_before_the_interruption_is_told():
    before = untrained_calls(1)

    def make(size):
        if size == 1:
            return trial(model=lambda: torch.nn.Linear(2, 1))
        return trial(before + 4 * 2 if size == 3 else math.inf)

    result = interrupted(make, LRS, over={"size": [1, 2, 3, 4]}, seeds=1).result
    assert [one.error.partition(":")[0] for one in result.failures] == [
        "RuntimeError", "interrupted",
    ]  # fmt: skip
    assert "size=1 failed: RuntimeError" in result.reason
