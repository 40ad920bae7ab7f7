"""from_torch where another library made the scheduler of torch."""

import numpy as np
import pytest
import torch

from surefoot.schedules import from_torch, hold

pytestmark = pytest.mark.peers
library = pytest.importorskip("transformers.optimization")

CASES = [
    ("linear", {}),
    ("constant", {}),
    ("constant_with_warmup", {}),
    ("polynomial", {"power": 2}),
    ("inverse_sqrt", {}),
    ("cosine", {}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("cosine_with_min_lr", {"min_lr": 0.01}),
    ("cosine_warmup_with_min_lr", {"min_lr": 0.01}),
    ("warmup_stable_decay", {"num_decay_steps": 20}),
]


@pytest.mark.parametrize(("name", "specific"), CASES)
def test_the_lambdas_of_transformers_are_read_as_what_they_are(name, specific):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = library.get_scheduler(name, optimizer, 10, 100, specific)
    plan = from_torch(scheduler)
    assert "function" not in str(plan)
    used = []
    for _ in range(100):
        used.append(optimizer.param_groups[0]["lr"] / 0.1)
        optimizer.step()
        scheduler.step()
    plan = plan.resolve(100) if plan.is_open else plan
    np.testing.assert_allclose(plan(np.arange(100)), used, rtol=1e-12, atol=1e-12)
    assert plan != hold(100) or name == "constant"


def test_such_a_schedule_can_be_read_and_saved():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    plan = from_torch(library.get_scheduler("cosine", optimizer, 10, 100))
    assert str(plan) == 'piecewise([(0, 0), (10, 1)], shape="linear", duration=10) >> cosine(90)'
