"""Tiny models, one for each operator, to be fused or refused: name → (model, input of a batch)."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint


def floats(*shape):
    return lambda: torch.randn(*shape)


def numbers(*shape):
    return lambda: torch.randint(0, 7, shape)


class Then(nn.Module):
    """A layer before the operator, so that a gradient must pass through it."""

    def __init__(self, before, operator):
        super().__init__()
        self.before = before
        self.operator = operator

    def forward(self, x):
        return self.operator(self.before(x))


def after(width, operator):
    """Return a function that makes Linear(5, width), then the operator."""
    return lambda: Then(nn.Linear(5, width), operator())


class Applied(nn.Module):
    """A model whose forward is a function of itself and the input."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def applied(function, **parts):
    return lambda: Applied(function, **{name: make() for name, make in parts.items()})


def linear(width=5):
    return lambda: nn.Linear(5, width)


def images(operator, channels=4):
    return lambda: Then(nn.Conv2d(2, channels, 3, padding=1), operator())


def frozen_statistics():
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    return Applied(lambda self, x: F.relu(self.model(x)), model=EvalOf(model))


class EvalOf(nn.Module):
    """A module that stays in eval mode."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def train(self, mode=True):
        return super().train(False)

    def forward(self, *values, **options):
        return self.inner(*values, **options)


def tied():
    model = Applied(lambda self, x: self.out(self.words(x)), words=nn.Embedding(7, 5), out=None)
    model.out = nn.Linear(5, 7)
    model.out.weight = model.words.weight
    return model


def label_loss(smoothing=0.0, ignore=-100):
    def loss(self, x):
        labels = torch.arange(8) % 4
        return F.cross_entropy(
            self.inner(x), labels, label_smoothing=smoothing, ignore_index=ignore
        )

    return applied(loss, inner=linear(4))


def experts(self, x):
    """Send each sample to the expert that the router prefers."""
    share, chosen = self.router(x).softmax(-1).max(-1)
    every = torch.stack([self.first(x), self.second(x)], dim=1)
    index = chosen[:, None, None].expand(-1, 1, every.shape[-1])
    return every.gather(1, index).squeeze(1) * share[:, None]


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        out = self.layer(x)
        self.seen += out.detach().mean(0)
        self.calls += 1
        return out + 0.1 * self.seen


class Remembering(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x):
        self.hidden = self.layer(x)
        return self.hidden.tanh() + self.hidden


def attend(self, x):
    q, k, v = self.project(x).reshape(8, 3, 3, 5).unbind(2)
    return F.scaled_dot_product_attention(q, k, v)


def self_attention():
    return applied(lambda self, x: self.mha(x, x, x)[0], mha=lambda: nn.MultiheadAttention(4, 2))


def encoder_layer(dropout=0.0):
    return nn.TransformerEncoderLayer(4, 2, 8, dropout=dropout, batch_first=True)


def ctc(self, x):
    logs = self.layer(x).reshape(8, 2, 6).log_softmax(-1)
    targets = torch.tensor([[1, 2, 3], [4, 5, 1]])
    lengths = torch.full((2,), 8), torch.full((2,), 3)
    return F.ctc_loss(logs, targets, *lengths)


def recurrent(kind):
    return applied(lambda self, x: self.cell(x.unsqueeze(1))[0], cell=lambda: kind(5, 4))


def cell(kind):
    return applied(lambda self, x: self.cell(x, torch.zeros(8, 4)), cell=lambda: kind(5, 4))


def long_cell():
    zeros = torch.zeros(8, 4), torch.zeros(8, 4)
    return Applied(lambda self, x: self.cell(x, zeros)[0], cell=nn.LSTMCell(5, 4))


class OldStyle(torch.autograd.Function):
    """A square whose forward sees the context, as before torch 2.0."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


class NewStyle(torch.autograd.Function):
    """The same square, as torch can stack it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


def chosen(self, x):
    out = self.layer(x)
    return torch.where(out.mean() > 0, out, -out)


def joined(self, x):
    return torch.cat([self.layer(x)[:, :3], torch.zeros(8, 2)], dim=1)


def branch(self, x):
    out = self.layer(x)
    return out if out.mean() > 0 else -out


def masked(self, x):
    out = self.layer(x)
    return out[out > -9]


def write(self, x):
    out = torch.zeros(8, 5)
    out[:, :3] = self.layer(x)[:, :3]
    return out


def transformer_in_eval():
    return EvalOf(encoder_layer())


FINE = {
    "Linear": (linear(3), floats(8, 5)),
    "Conv1d": (lambda: nn.Conv1d(3, 4, 3), floats(8, 3, 6)),
    "Conv2d": (lambda: nn.Conv2d(2, 4, 3), floats(8, 2, 5, 5)),
    "Conv2d groups": (images(lambda: nn.Conv2d(4, 6, 3, groups=2)), floats(8, 2, 5, 5)),
    "Conv2d depthwise": (images(lambda: nn.Conv2d(4, 4, 3, groups=4)), floats(8, 2, 5, 5)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2), floats(8, 2, 3, 3, 3)),
    "ConvTranspose2d": (images(lambda: nn.ConvTranspose2d(4, 3, 2)), floats(8, 2, 4, 4)),
    "BatchNorm1d": (after(4, lambda: nn.BatchNorm1d(4)), floats(8, 5)),
    "BatchNorm2d": (images(lambda: nn.BatchNorm2d(4)), floats(8, 2, 4, 4)),
    "BatchNorm in eval": (frozen_statistics, floats(8, 5)),
    "LayerNorm": (after(4, lambda: nn.LayerNorm(4)), floats(8, 5)),
    "GroupNorm": (images(lambda: nn.GroupNorm(2, 4)), floats(8, 2, 4, 4)),
    "InstanceNorm2d": (images(lambda: nn.InstanceNorm2d(4, affine=True)), floats(8, 2, 4, 4)),
    "RMSNorm": (after(4, lambda: nn.RMSNorm(4)), floats(8, 5)),
    "Dropout": (after(6, lambda: nn.Dropout(0.4)), floats(8, 5)),
    "Dropout2d": (images(lambda: nn.Dropout2d(0.4)), floats(8, 2, 4, 4)),
    "Embedding": (lambda: nn.Embedding(7, 4), numbers(8, 3)),
    "Embedding padding_idx": (lambda: nn.Embedding(7, 4, padding_idx=0), numbers(8, 3)),
    "tied weights": (tied, numbers(8, 3)),
    "MultiheadAttention": (self_attention(), floats(8, 3, 4)),
    "MaxPool2d": (images(lambda: nn.MaxPool2d(2)), floats(8, 2, 4, 4)),
    "AvgPool2d": (images(lambda: nn.AvgPool2d(2)), floats(8, 2, 4, 4)),
    "AdaptiveAvgPool2d": (images(lambda: nn.AdaptiveAvgPool2d(1)), floats(8, 2, 4, 4)),
    "Upsample": (images(lambda: nn.Upsample(scale_factor=2)), floats(8, 2, 3, 3)),
    "PixelShuffle": (images(lambda: nn.PixelShuffle(2)), floats(8, 2, 3, 3)),
    "Unfold": (images(lambda: nn.Unfold(2)), floats(8, 2, 3, 3)),
    "PReLU": (after(4, nn.PReLU), floats(8, 5)),
    "GELU": (after(4, nn.GELU), floats(8, 5)),
    "SiLU": (after(4, nn.SiLU), floats(8, 5)),
    "cross_entropy": (label_loss(), floats(8, 5)),
    "cross_entropy smoothing": (label_loss(smoothing=0.1), floats(8, 5)),
    "cross_entropy ignore_index": (label_loss(ignore=2), floats(8, 5)),
    "mixture of experts, top 1": (
        applied(experts, router=linear(2), first=linear(3), second=linear(3)),
        floats(8, 5),
    ),
    "buffer += in place": (Counting, floats(8, 5)),
    "attribute assigned in forward": (Remembering, floats(8, 5)),
    "torch.where": (applied(chosen, layer=linear()), floats(8, 5)),
    "torch.cat": (applied(joined, layer=linear()), floats(8, 5)),
    "autograd.Function with setup_context": (
        applied(lambda self, x: NewStyle.apply(self.layer(x)), layer=linear()),
        floats(8, 5),
    ),
}

SLOW = {
    "scaled_dot_product_attention": (applied(attend, project=linear(15)), floats(8, 3, 5)),
    "TransformerEncoderLayer": (encoder_layer, floats(8, 3, 4)),
    "GRUCell": (cell(nn.GRUCell), floats(8, 5)),
    "RNNCell": (cell(nn.RNNCell), floats(8, 5)),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(7, 4), numbers(8, 3)),
    "Bilinear": (
        applied(lambda self, x: self.b(x, x), b=lambda: nn.Bilinear(5, 5, 3)),
        floats(8, 5),
    ),
    "weight_norm": (lambda: parametrizations.weight_norm(nn.Linear(5, 3)), floats(8, 5)),
    "ctc_loss": (applied(ctc, layer=linear(6)), floats(16, 5)),
}

UNFIT = {
    "nn.RNN": (recurrent(nn.RNN), floats(8, 5)),
    "nn.GRU": (recurrent(nn.GRU), floats(8, 5)),
    "nn.LSTM": (recurrent(nn.LSTM), floats(8, 5)),
    "LSTMCell": (long_cell, floats(8, 5)),
    "checkpoint, reentrant": (
        applied(lambda self, x: checkpoint(self.layer, x, use_reentrant=True), layer=linear()),
        lambda: torch.randn(8, 5).requires_grad_(),
    ),
    "checkpoint": (
        applied(lambda self, x: checkpoint(self.layer, x, use_reentrant=False), layer=linear()),
        floats(8, 5),
    ),
    "autograd.Function with ctx in forward": (
        applied(lambda self, x: OldStyle.apply(self.layer(x)), layer=linear()),
        floats(8, 5),
    ),
    "if on a tensor": (applied(branch, layer=linear()), floats(8, 5)),
    ".item()": (
        applied(lambda self, x: self.layer(x) * self.layer.weight.sum().item(), layer=linear()),
        floats(8, 5),
    ),
    "boolean mask": (
        applied(masked, layer=linear()),
        floats(8, 5),
    ),
    "written into torch.zeros": (applied(write, layer=linear()), floats(8, 5)),
    "spectral_norm": (lambda: parametrizations.spectral_norm(nn.Linear(5, 3)), floats(8, 5)),
    "RReLU": (after(4, nn.RReLU), floats(8, 5)),
    "TransformerEncoderLayer in eval": (transformer_in_eval, floats(8, 3, 4)),
    "TransformerEncoderLayer with dropout": (lambda: encoder_layer(0.2), floats(8, 3, 4)),
    "Embedding(sparse=True)": (lambda: nn.Embedding(7, 4, sparse=True), numbers(8, 3)),
}
