"""Layer-wise rates as timm has them."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from surefoot import Scheduler, layer_decay
from surefoot.schedules import linear

timm = pytest.importorskip("timm")
pytestmark = pytest.mark.peers
DEPTH = 12


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(8)
        self.attn = nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))


class VisionTransformer(nn.Module):
    """The names and the ``group_matcher`` of timm's; its models need torchvision to be imported."""

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 8))
        self.patch_embed = nn.Conv2d(3, 8, 4)
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def group_matcher(self, coarse=False):
        return {
            "stem": r"^cls_token|pos_embed|patch_embed",
            "blocks": [(r"^blocks\.(\d+)", None), (r"^norm", (99999,))],
        }


@pytest.fixture
def timms(monkeypatch):
    """Return timm's function, imported without its models."""
    root = Path(next(iter(timm.__path__)))
    for name in ("layers", "models", "optim"):
        package = ModuleType(f"timm.{name}")
        package.__path__ = [str(root / name)]
        monkeypatch.setitem(sys.modules, f"timm.{name}", package)
    sys.modules["timm.layers"].use_reentrant_ckpt = lambda: False
    manipulate = importlib.import_module("timm.models._manipulate")
    sys.modules["timm.models"].group_parameters = manipulate.group_parameters
    yield importlib.import_module("timm.optim._param_groups").param_groups_layer_decay
    for name in ("timm.models._manipulate", "timm.optim._param_groups"):
        sys.modules.pop(name, None)


def by_name(model, groups, key):
    found = {id(p): group[key] for group in groups for p in group["params"]}
    return {name: found[id(p)] for name, p in model.named_parameters()}


@pytest.mark.parametrize("decay", [0.65, 0.75, 1.0])
def test_the_scales_of_a_vit_are_timms_but_for_the_last_norm(timms, decay):
    model = VisionTransformer()
    theirs = timms(model, weight_decay=0.05, layer_decay=decay)
    ours = layer_decay(model, decay, lr=2.0, weight_decay=0.05)
    scales = by_name(model, theirs, "lr_scale")
    rates = by_name(model, ours, "lr")
    # BEiT, where the rule is from, has the last norm in the layer of the head, timm one below it
    for name in ("norm.weight", "norm.bias"):
        assert rates.pop(name) == 2.0
        assert scales.pop(name) == decay
    assert rates == pytest.approx({name: 2.0 * scale for name, scale in scales.items()})
    assert by_name(model, ours, "weight_decay") == by_name(model, theirs, "weight_decay")


def test_torch_ignores_timms_scale_and_respects_ours(timms):
    model = VisionTransformer()
    theirs = torch.optim.AdamW(timms(model, layer_decay=0.5), lr=1.0)
    torch.optim.lr_scheduler.LambdaLR(theirs, lambda t: 0.5)
    assert {group["lr"] for group in theirs.param_groups} == {0.5}
    ours = torch.optim.AdamW(layer_decay(model, 0.5, lr=1.0))
    Scheduler(ours, linear(10)).seek(5)
    assert [group["lr"] for group in ours.param_groups] == [
        0.5 * 0.5 ** (DEPTH + 1 - layer) for layer in range(DEPTH + 2)
    ]
