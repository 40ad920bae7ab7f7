"""Parameter groups with a rate for each layer."""

import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot import InputError, Scheduler
from surefoot._engine.layerwise import discriminative, layer_decay
from surefoot.schedules import linear


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(2)
        self.mlp = nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 2))


class Transformer(nn.Module):
    def __init__(self, depth=12, *, tied=False):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 2))
        self.embed = nn.Embedding(5, 2)
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
        self.norm = nn.LayerNorm(2)
        self.head = nn.Linear(2, 5)
        if tied:
            self.head.weight = self.embed.weight


class Stages(nn.Module):
    """Like a ResNet: blocks of one type in several lists, something between them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(2, 2)
        self.one = nn.Sequential(Block(), Block())
        self.between = nn.Linear(2, 2)
        self.two = nn.Sequential(Block(), Block(), Block())
        self.head = nn.Linear(2, 1)


def rates(model, groups):
    """Return the rate of each parameter by its name."""
    by_id = {id(p): group["lr"] for group in groups for p in group["params"]}
    return {name: by_id[id(p)] for name, p in model.named_parameters() if id(p) in by_id}


@pytest.mark.parametrize(
    ("decay", "first", "second"), [(0.75, 0.0238, 0.0317), (0.65, 0.0037, 0.0057)]
)
def test_the_scales_of_a_vit_b_are_the_published_ones(decay, first, second):
    groups = layer_decay(Transformer(12), decay, lr=1.0)
    scales = [group["lr"] for group in groups]
    assert scales == pytest.approx([decay ** (13 - layer) for layer in range(14)], rel=1e-12)
    assert [round(scales[0], 4), round(scales[1], 4)] == [first, second]
    assert [group["name"] for group in groups] == [f"layer_{layer}" for layer in range(14)]


def test_embeddings_blocks_and_head_are_where_they_belong():
    model = Transformer(3)
    found = rates(model, layer_decay(model, 0.5, lr=16.0))
    assert found["token"] == found["embed.weight"] == 1.0
    assert found["blocks.0.norm.weight"] == found["blocks.0.mlp.2.bias"] == 2.0
    assert found["blocks.2.mlp.0.weight"] == 8.0
    assert found["norm.bias"] == found["head.weight"] == 16.0


def test_each_parameter_that_learns_is_in_one_group():
    model = Transformer(3, tied=True)
    model.blocks[1].requires_grad_(False)
    groups = layer_decay(model, lr=1.0, weight_decay=0.1)
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert rates(model, groups)["embed.weight"] == pytest.approx(0.75**4)


def test_one_dimensional_parameters_go_without_weight_decay():
    groups = layer_decay(Transformer(2), 0.5, lr=1.0, weight_decay=0.1)
    for group in groups:
        free = group["name"].endswith("_no_decay")
        assert group["weight_decay"] == (0.0 if free else 0.1)
        assert all((p.ndim < 2) == free for p in group["params"])
    assert [group["name"] for group in groups[:4]] == [
        "layer_0", "layer_1", "layer_1_no_decay", "layer_2",
    ]  # fmt: skip


def test_lists_of_the_same_block_count_as_one_and_what_is_between_goes_with_the_block_before():
    model = Stages()
    found = rates(model, layer_decay(model, 0.5, lr=64.0))
    layers = ("stem.bias", "one.0.norm.bias", "one.1.norm.bias", "two.0.norm.bias",
              "two.1.norm.bias", "two.2.norm.bias", "head.bias")  # fmt: skip
    assert [found[name] for name in layers] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    assert found["between.weight"] == 4.0


def test_a_sequential_is_its_own_list_of_blocks_and_the_last_has_the_full_rate():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    assert [group["lr"] for group in layer_decay(model, 0.5, lr=1.0)] == [0.25, 0.5, 1.0]


def test_children_learn_2_6_times_slower_than_the_next():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    groups = discriminative(model, lr=1.0)
    assert [round(group["lr"], 4) for group in groups] == [0.0569, 0.1479, 0.3846, 1.0]
    whole = Transformer(2)
    found = rates(whole, discriminative(whole, 2.0, lr=8.0))
    assert found["token"] == found["embed.weight"] == 1.0
    assert found["blocks.0.norm.bias"] == found["blocks.1.norm.bias"] == 2.0
    assert (found["norm.bias"], found["head.bias"]) == (4.0, 8.0)


TOLD = (["token", "embed"], "blocks.0", ["blocks", "norm"], "head")


@pytest.mark.parametrize(
    "layers",
    [TOLD, lambda name: next(i for i, e in enumerate(TOLD) if name.startswith(tuple([e][0])))],
    ids=["names", "function"],
)
def test_layers_can_be_told(layers):
    if callable(layers):
        table = {"t": 0, "e": 0, "b": 2, "n": 2, "h": 3}
        layers = lambda name: 1 if name.startswith("blocks.0") else table[name[0]]  # noqa: E731
    model = Transformer(3)
    for found in (
        rates(model, layer_decay(model, 0.5, lr=8.0, layers=layers)),
        rates(model, discriminative(model, 2.0, lr=8.0, layers=layers)),
    ):
        assert found["token"] == found["embed.weight"] == 1.0
        assert found["blocks.0.norm.bias"] == 2.0
        assert found["blocks.1.norm.bias"] == found["norm.bias"] == 4.0
        assert found["head.bias"] == 8.0


@pytest.mark.parametrize("tensor", [False, True])
def test_torchs_optimizers_and_schedulers_and_ours_keep_the_ratios(tensor):
    groups = layer_decay(Transformer(2), 0.5, lr=8.0, weight_decay=0.1)
    scales = [group["lr"] for group in groups]
    theirs = torch.optim.AdamW(groups)
    torch.optim.lr_scheduler.LinearLR(theirs, 0.5)
    assert [group["lr"] for group in theirs.param_groups] == [0.5 * scale for scale in scales]
    ours = torch.optim.AdamW(layer_decay(Transformer(2), 0.5, lr=8.0, weight_decay=0.1))
    scheduler = Scheduler(ours, linear(10), base=4.0 if tensor else None)
    scheduler.seek(5)
    assert [g["lr"] for g in ours.param_groups] == [s * 0.5 * scheduler.base_lrs[0] / scales[0]
                                                    for s in scales]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: layer_decay(m, 0.0, lr=1.0), r"decay must lie in \(0, 1\], not 0.0"),
        (lambda m: layer_decay(m, 1.5, lr=1.0), r"decay must lie in \(0, 1\]"),
        (lambda m: layer_decay(m, lr=0.0), "lr must be a finite learning rate"),
        (lambda m: layer_decay(m, lr=1.0, weight_decay=-1), "weight_decay must be at least 0"),
        (lambda m: discriminative(m, 0.5, lr=1.0), "factor must be at least 1"),
        (lambda m: layer_decay([m], lr=1.0), "model must be a torch.nn.Module, not a list"),
        (lambda m: layer_decay(m.requires_grad_(False), lr=1.0), "no parameter that requires"),
        (lambda m: layer_decay(nn.Linear(1, 1), lr=1.0), "no ModuleList or Sequential of blocks"),
        (lambda m: discriminative(nn.Linear(1, 1), lr=1.0), "one layer only"),
        (lambda m: layer_decay(m, lr=1.0, layers=lambda name: 3), "one layer only"),
        (lambda m: layer_decay(m, lr=1.0, layers=lambda name: -1), r"layers\('token'\) must be at"),
        (lambda m: layer_decay(m, lr=1.0, layers=["blocks", "head"]), "no entry for .* 'token'"),
        (
            lambda m: layer_decay(m, lr=1.0, layers=["tok", "blocks"]),
            "layers has 'tok', which is no module and no parameter of the model; it has embed, bl",
        ),
        (lambda m: layer_decay(m, lr=1.0, layers={"blocks", "head"}), "layers must be a function"),
        (lambda m: layer_decay(m, lr=1.0, layers=[nn.Linear(1, 1)]), "a Linear that is not in the"),
        (lambda m: layer_decay(m, lr=1.0, layers=[3]), "must hold modules or their names, .*not 3"),
        (lambda m: layer_decay(m, lr=1.0, layers=[["token", None]]), "must hold modules .* None"),
        (lambda m: layer_decay(m, lr=1.0, layers=[m.parameters()]), "must hold modules"),
        (lambda m: layer_decay(m, lr=1.0, layers={"token": -1}), r"layers\['token'\] must be at"),
        (lambda m: layer_decay(m, lr=1.0, layers={"token": "a"}), r"layers\['token'\] must be a w"),
        (lambda m: layer_decay(m, lr=1.0, layers={3: 1}), "must hold modules or their names"),
        (
            lambda m: layer_decay(m, lr=1.0, layers=["head", m.head]),
            "layers has 'head' in two layers: leave it in one",
        ),
        (
            lambda m: layer_decay(m, 1e-200, lr=1.0),
            r"rate of a layer \d below the last would be 0, with a ratio of 1e\+200",
        ),
        (lambda m: layer_decay(m, 1e-320, lr=1.0), "would be 0, with a ratio of inf"),
        (lambda m: discriminative(m, 1e200, lr=1.0), "would be 0, with a ratio of 1e"),
        (
            lambda m: layer_decay(nn.Transformer(4, 2, 2, 2, 4, batch_first=True), lr=1.0),
            "more than one type, TransformerDecoderLayer and TransformerEncoderLayer, .* layers=",
        ),
        (lambda m: layer_decay(m, lr=1.0, layers="blocks"), "layers must be a function"),
        (lambda m: layer_decay(m, lr=1.0, layers=3), "layers must be a function"),
    ],
)
def test_says_what_is_not_allowed(call, said):
    with pytest.raises(InputError, match=said):
        call(Transformer(2))


def test_layers_can_be_told_as_modules_or_as_a_dict():
    model = Transformer(2)
    ways = [
        [["token", model.embed], *model.blocks, (model.norm, model.head)],
        [("token", "embed"), "blocks.0", "blocks.1", {"norm", "head"}],
        {"token": 0, "embed": 0, "blocks.0": 1, "blocks.1": 2, "norm": 3, "head": 3},
        [["", "token"], *model.blocks, [model.norm, model.head]],  # "" is the whole model
        [model, *model.blocks, [model.norm, model.head]],
    ]
    expected = rates(model, layer_decay(model, 0.5, lr=8.0))
    for layers in ways:
        assert rates(model, layer_decay(model, 0.5, lr=8.0, layers=layers)) == expected
    stack = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
    assert [g["lr"] for g in layer_decay(stack, 0.5, lr=1.0, layers=stack)] == [0.25, 0.5, 1.0]


def test_the_longest_name_counts_and_a_name_is_no_part_of_a_word():
    model = Transformer(11)
    told = {"": 0, "blocks": 1, "blocks.1": 2, "blocks.1.mlp.0": 3, "head": 4}
    found = rates(model, layer_decay(model, 0.5, lr=16.0, layers=told))
    names = ("norm.bias", "blocks.10.norm.bias", "blocks.1.norm.bias", "blocks.1.mlp.0.bias")
    assert [found[name] for name in names] == [1.0, 2.0, 4.0, 8.0]


def test_an_encoder_and_a_decoder_can_be_told():
    model = nn.Transformer(4, 2, 2, 2, 4, batch_first=True)
    first, second = model.encoder, model.decoder
    layers = [*first.layers, first, *second.layers, second]
    scales = [group["lr"] for group in layer_decay(model, 0.5, lr=32.0, layers=layers)]
    assert scales == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]


def test_a_small_list_of_another_type_is_no_rival():
    model = Transformer(12)
    model.head = nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 2))
    assert len(layer_decay(model, lr=1.0)) == 14


def test_lists_inside_of_a_block_are_no_lists_of_blocks():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(Block() for _ in range(9))

    model = nn.Sequential(Deep(), Deep(), Deep())
    assert [group["lr"] for group in layer_decay(model, 0.5, lr=4.0)] == [1.0, 2.0, 4.0]
    assert [len(group["params"]) for group in layer_decay(model, lr=1.0)] == [54] * 3


def test_two_layers_are_enough():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    for groups in (layer_decay(model, 0.5, lr=1.0), discriminative(model, 2.0, lr=1.0)):
        assert [group["lr"] for group in groups] == [0.5, 1.0]
        assert [group["name"][:6] for group in groups] == ["layer_"] * 2


def test_they_are_exported():
    assert sf.layer_decay is layer_decay
    assert sf.discriminative is discriminative
