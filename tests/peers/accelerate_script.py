"""What a user trains with Accelerate; started once per process.

Usage: ``accelerate_script.py CALLS FOLDER``. CALLS is the scheduler's ``calls_per_update``, or
``processes`` for as many as there are; each process leaves its rates as a file in FOLDER.
"""

import json
import os
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset

from surefoot import Scheduler
from surefoot.schedules import cosine, warmup

UPDATES = 12


def main(calls, accumulate=1):
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = Scheduler(
        optimizer,
        warmup(3) >> cosine(floor=0.1),
        total=UPDATES,
        calls_per_update=accelerator.num_processes if calls == "processes" else int(calls),
    )
    x = torch.randn(4 * UPDATES * accumulate * accelerator.num_processes, 3)
    data = DataLoader(TensorDataset(x, x.sum(dim=1, keepdim=True)), batch_size=4)
    model, optimizer, data, scheduler = accelerator.prepare(model, optimizer, data, scheduler)
    rates = []
    for inputs, targets in data:
        with accelerator.accumulate(model):
            accelerator.backward((model(inputs) - targets).square().mean())
            if accelerator.sync_gradients:
                rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    updates = scheduler.scheduler.updates
    processes = accelerator.num_processes
    accelerator.end_training()
    return {"processes": processes, "rates": rates, "updates": updates}


if __name__ == "__main__":
    calls, folder = sys.argv[1:]
    Path(folder, f"{os.environ['RANK']}.json").write_text(json.dumps(main(calls)))
    os._exit(0)  # at once: ending in the ordinary way, torch's threads of gloo abort now and then
