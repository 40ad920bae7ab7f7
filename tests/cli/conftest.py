"""Run the command in this process, and see what it says and how it exits."""

from dataclasses import dataclass

import pytest

from surefoot._cli.main import run

TASK = """
import torch
import surefoot as sf

DATA = [(torch.linspace(-1, 1, 8).reshape(8, 1), 3 * torch.linspace(-1, 1, 8).reshape(8, 1))]


def make():
    return trial


def make_trial(batch_size, curvature=1.0, kind="sgd"):
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    return sf.Trial(
        model=slope,
        optimizer=lambda model, lr: kinds[kind](model.parameters(), lr=lr),
        train=[(curvature**0.5 * torch.ones(batch_size, 1), torch.full((batch_size, 1), 3.0))],
        loss=torch.nn.functional.mse_loss,
        steps=20,
        name="toy",
    )


def slope():
    return torch.nn.Linear(1, 1, bias=False)


trial = sf.Trial(
    model=slope,
    optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
    train=DATA,
    loss=torch.nn.functional.mse_loss,
    steps=60,
    name="slope",
)
number = 3
"""


@dataclass
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def surefoot(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task.py").write_text(TASK)

    def call(*words: str) -> Said:
        with pytest.raises(SystemExit) as end:
            run([str(word) for word in words])
        out, err = capsys.readouterr()
        return Said(end.value.code or 0, out, err)

    return call
