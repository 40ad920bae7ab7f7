"""The models of the workloads, small enough for hundreds of trainings on one core."""

import itertools

import torch
from torch import nn
from torch.nn import functional


def mlp(*sizes, activation=nn.ReLU, norm=None, dropout=0.0):
    """Return a function that makes a multi-layer perceptron."""

    def make():
        layers = []
        for index, (a, b) in enumerate(itertools.pairwise(sizes)):
            layers.append(nn.Linear(a, b))
            if index < len(sizes) - 2:
                layers += [norm(b)] if norm else []
                layers.append(activation())
                layers += [nn.Dropout(dropout)] if dropout else []
        return nn.Sequential(*layers)

    return make


def cnn(*, norm=False, dropout=0.0, outputs=10):
    """Return a function that makes two convolutions and a linear layer, for 8 × 8 pictures."""

    def make():
        layers = [nn.Unflatten(1, (1, 8, 8))]
        for inputs, channels, stride in ((1, 8, 1), (8, 16, 2)):
            layers.append(nn.Conv2d(inputs, channels, 3, padding=1, stride=stride))
            layers += [nn.BatchNorm2d(channels)] if norm else []
            layers.append(nn.ReLU())
        layers += [nn.Flatten(), nn.Dropout(dropout), nn.Linear(256, outputs)]
        return nn.Sequential(*layers)

    return make


class Residual(nn.Module):
    """A linear layer, blocks of LayerNorm, linear layer and ReLU beside the identity, another."""

    def __init__(self, inputs, width, outputs, blocks=2):
        super().__init__()
        self.first, self.last = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU())
            for _ in range(blocks)
        )

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


class ResNet(nn.Module):
    """Two residual blocks of convolutions with BatchNorm, for 8 × 8 pictures."""

    def __init__(self, channels=12):
        super().__init__()

        def block():
            return nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
            )

        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.blocks = nn.ModuleList(block() for _ in range(2))
        self.last = nn.Linear(channels, 10)

    def forward(self, x):
        x = self.first(x.view(-1, 1, 8, 8))
        for block in self.blocks:
            x = functional.relu(x + block(x))
        return self.last(x.mean((2, 3)))


class Characters(nn.Module):
    """A recurrent network that reads characters and says of each which comes next."""

    def __init__(self, kind, count, width=48):
        super().__init__()
        self.embed, self.read = nn.Embedding(count, 24), kind(24, width, batch_first=True)
        self.say = nn.Linear(width, count)

    def forward(self, x):
        return self.say(self.read(self.embed(x))[0])


class Series(nn.Module):
    """A recurrent network that reads numbers and says the next one."""

    def __init__(self, kind, width=32):
        super().__init__()
        self.read, self.say = kind(1, width, batch_first=True), nn.Linear(width, 1)

    def forward(self, x):
        return self.say(self.read(x)[0][:, -1])


class Transformer(nn.Module):
    """A causal transformer over characters."""

    def __init__(self, count, width=48, layers=2, length=32, dropout=0.0):
        super().__init__()
        self.embed = nn.Embedding(count, width)
        self.place = nn.Parameter(0.02 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=dropout, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.say = nn.Linear(width, count)
        mask = torch.full((length, length), -torch.inf).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        seen = self.embed(x) + self.place[: x.shape[1]]
        return self.say(self.layers(seen, mask=self.mask[: x.shape[1], : x.shape[1]]))


class Patches(nn.Module):
    """A transformer over the rows of 8 × 8 pictures."""

    def __init__(self, width=32, dropout=0.1):
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.place = nn.Parameter(0.02 * torch.randn(8, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 64, dropout=dropout, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.say = nn.Linear(width, 10)

    def forward(self, x):
        return self.say(self.layers(self.embed(x.view(-1, 8, 8)) + self.place).mean(1))


class NextOf(nn.Module):
    """An MLP that reads the last characters and says the next one."""

    def __init__(self, count, length=8, width=96):
        super().__init__()
        self.embed = nn.Embedding(count, 16)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(16 * length, width), nn.Tanh(), nn.Linear(width, count)
        )

    def forward(self, x):
        return self.layers(self.embed(x))


class Factors(nn.Module):
    """Matrix factorisation with biases: who, what → rating."""

    def __init__(self, users, items, width=8):
        super().__init__()
        self.user, self.item = nn.Embedding(users, width), nn.Embedding(items, width)
        self.of_user, self.of_item = nn.Embedding(users, 1), nn.Embedding(items, 1)
        for each in (self.user, self.item, self.of_user, self.of_item):
            nn.init.normal_(each.weight, std=0.1)

    def forward(self, pairs):
        who, what = pairs.unbind(1)
        both = (self.user(who) * self.item(what)).sum(1, keepdim=True)
        return both + self.of_user(who) + self.of_item(what)


class Pairs(nn.Module):
    """A neural recommender: an MLP over the embeddings of both."""

    def __init__(self, users, items, width=16):
        super().__init__()
        self.user, self.item = nn.Embedding(users, width), nn.Embedding(items, width)
        self.layers = mlp(2 * width, 32, 1)()

    def forward(self, pairs):
        who, what = pairs.unbind(1)
        return self.layers(torch.cat([self.user(who), self.item(what)], 1))


class Bell(nn.Module):
    """Says of a number its mean and the logarithm of its spread."""

    def __init__(self, inputs):
        super().__init__()
        self.layers = mlp(inputs, 48, 48, 2)()

    def forward(self, x):
        return self.layers(x)


def bell_loss(output, target):
    """Return −log density of the target, which is negative where the spread is small."""
    mean, spread = output.chunk(2, 1)
    return (0.5 * ((target - mean) * (-spread).exp()) ** 2 + spread).mean()


class Couplings(nn.Module):
    """A flow of affine couplings in the plane; it says −log density, without a constant."""

    def __init__(self, layers=6, width=32):
        super().__init__()
        self.parts = nn.ModuleList(mlp(1, width, 2)() for _ in range(layers))

    def forward(self, x):
        a, b = x[:, :1], x[:, 1:]
        total = 0.0
        for part in self.parts:
            scale, shift = part(a).chunk(2, 1)
            scale = scale.tanh()
            a, b = b * scale.exp() + shift, a
            total = total + scale
        return 0.5 * (a**2 + b**2) - total


class Sines(nn.Module):
    """A network of sines, which draws pictures from coordinates."""

    def __init__(self, width=64, frequency=15.0):
        super().__init__()
        self.first, self.second = nn.Linear(2, width), nn.Linear(width, width)
        self.last, self.frequency = nn.Linear(width, 1), frequency
        with torch.no_grad():
            self.first.weight.uniform_(-0.5, 0.5)
            for layer in (self.second, self.last):
                layer.weight.uniform_(*(s * (6 / width) ** 0.5 / frequency for s in (-1, 1)))

    def forward(self, x):
        x = torch.sin(self.frequency * self.first(x))
        return self.last(torch.sin(self.frequency * self.second(x)))


class Encoder(nn.Module):
    """A variational autoencoder of 64 numbers."""

    def __init__(self, width=8):
        super().__init__()
        self.encode, self.decode = mlp(64, 64, 2 * width)(), mlp(width, 64, 64)()

    def forward(self, x):
        mean, spread = self.encode(x).chunk(2, 1)
        code = mean + spread.exp() * torch.randn_like(mean) if self.training else mean
        apart = 0.5 * (mean**2 + (2 * spread).exp() - 1) - spread
        return torch.cat([self.decode(code), apart], 1)


def encoder_loss(output, target):
    """Return the variational bound of pixels in 0 … 1."""
    pixels, apart = output[:, :64], output[:, 64:]
    told = functional.binary_cross_entropy_with_logits(pixels, target, reduction="none").sum(1)
    return (told + apart.sum(1)).mean()
