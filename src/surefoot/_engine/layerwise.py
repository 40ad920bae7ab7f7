"""Parameter groups with a learning rate for each layer, for any torch optimizer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias

from torch import nn

from surefoot._base import checks
from surefoot.errors import InputError

__all__ = ["discriminative", "layer_decay"]

Part: TypeAlias = str | nn.Module
Layers: TypeAlias = Callable[[str], int] | Mapping[str, int] | Sequence[Part | Sequence[Part]]

_HOW = "with layers=, a function from a parameter's name to its layer, or a list of modules."
_RIVAL = 0.1  # share of the weights of the blocks from which blocks of another type count too


def layer_decay(
    model: nn.Module,
    decay: float = 0.75,
    *,
    lr: float,
    layers: Layers | None = None,
    weight_decay: float | None = None,
) -> list[dict[str, Any]]:
    r"""Return parameter groups whose lr falls from the head of a model to its embeddings.

    .. math:: \mathrm{lr}_{id} = \mathrm{lr} \cdot \mathrm{decay}^{L + 1 - id}

    Layer 0 is what comes before the blocks (embeddings), 1 … L are the blocks, L + 1 is what comes
    after (last norm, head). The groups hold the rate itself as ``"lr"``, so that every optimizer
    and scheduler respects it, and are named ``"layer_0"`` and on.

    Blocks are the children of the same type of a ``ModuleList`` or ``Sequential``, of the type
    that holds the most weights; where several lists hold that type (the stages of a ResNet), they
    count as one. What lies between two blocks belongs to the one before it. Lists of blocks of
    different types, such as an encoder and a decoder, are refused: tell their layers. Frozen
    parameters are left out; one that is shared is in the layer where it is met first.

    A ``base=`` of the scheduler is the rate of the first group, which is the slowest layer; the
    rate of the head is the ``lr`` here.

    Args:
        model: the model.
        decay: ratio of the rates of a layer and the next, in (0, 1]; 0.65 … 0.9 are usual.
        lr: learning rate of the last layer, > 0.
        layers: the layer of each parameter: a function from its name to 0, 1, 2, …; a list, from
            the input to the head, of the module or its name, or a list of these, of each layer; or
            a dict from names to 0, 1, 2, …. The longest name that fits counts.
        weight_decay: if given, ≥ 0, each layer is split: parameters with fewer than two dimensions
            (biases, gains of norms) go without weight decay, to ``"layer_0_no_decay"`` and on.

    Raises:
        InputError: an argument is out of its range, a parameter is in no layer, a name or module
            is not in the model, or there are not two layers.

    Example:
        >>> blocks = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2)))
        >>> model = nn.ModuleDict({"embed": nn.Embedding(5, 2), "blocks": blocks,
        ...                        "head": nn.Linear(2, 1)})
        >>> for group in layer_decay(model, 0.5, lr=0.8):
        ...     print(group["name"], group["lr"], len(group["params"]))
        layer_0 0.1 1
        layer_1 0.2 2
        layer_2 0.4 2
        layer_3 0.8 2

    Reference:
        Clark et al., ELECTRA: Pre-training Text Encoders as Discriminators, 2020; Bao et al., BEiT:
        BERT Pre-Training of Image Transformers, 2021.
    """
    if not 0 < checks.number("decay", decay) <= 1:
        raise InputError(f"decay must lie in (0, 1], not {decay!r}.")
    names = _parameters(model)
    ids = _by_blocks(model, names) if layers is None else _as_told(model, names, layers)
    return _groups(names, ids, 1 / decay, lr, weight_decay)


def discriminative(
    model: nn.Module,
    factor: float = 2.6,
    *,
    lr: float,
    layers: Layers | None = None,
    weight_decay: float | None = None,
) -> list[dict[str, Any]]:
    r"""Return parameter groups in which each layer learns ``factor`` times slower than the next.

    .. math:: \mathrm{lr}_{l-1} = \mathrm{lr}_l / \mathrm{factor}

    The layers are the children of the model that have parameters, in their order; the last has the
    rate ``lr``. Parameters of the model itself belong to the first. The groups are like those of
    :func:`layer_decay`.

    Args:
        model: the model.
        factor: ratio of the rates of a layer and the one before it, ≥ 1.
        lr: learning rate of the last layer, > 0.
        layers: as in :func:`layer_decay`.
        weight_decay: as in :func:`layer_decay`.

    Raises:
        InputError: an argument is out of its range, a parameter is in no layer, or there are not
            two layers.

    Example:
        >>> model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
        >>> [round(group["lr"], 4) for group in discriminative(model, lr=1.0)]
        [0.0569, 0.1479, 0.3846, 1.0]

    Reference:
        Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, 2018.
    """
    if not checks.number("factor", factor) >= 1:
        raise InputError(f"factor must be at least 1, not {factor!r}.")
    names = _parameters(model)
    ids = _by_children(names) if layers is None else _as_told(model, names, layers)
    return _groups(names, ids, factor, lr, weight_decay)


def _parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that learn, each once, by name."""
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module, not a {type(model).__name__}.")
    found = {name: each for name, each in model.named_parameters() if each.requires_grad}
    if not found:
        raise InputError("model has no parameter that requires a gradient.")
    return found


def _groups(
    names: dict[str, nn.Parameter],
    ids: dict[str, int],
    ratio: float,
    lr: float,
    weight_decay: float | None,
) -> list[dict[str, Any]]:
    """Return one group for each layer, or two where they differ in weight decay."""
    lr = checks.learning_rate("lr", lr)
    if weight_decay is not None and checks.number("weight_decay", weight_decay) < 0:
        raise InputError(f"weight_decay must be at least 0, not {weight_decay!r}.")
    top = max(ids.values())
    if len(set(ids.values())) < 2:
        raise InputError(
            f"model has one layer only, so that its rates cannot differ: tell what they are {_HOW}"
        )
    made: dict[tuple[int, bool], dict[str, Any]] = {}
    for name in sorted(names, key=ids.__getitem__):
        free = weight_decay is not None and names[name].ndim < 2
        if (key := (ids[name], free)) not in made:
            rate = _slower(lr, ratio, top - ids[name])
            made[key] = {"params": [], "lr": rate, "name": f"layer_{ids[name]}"}
            if weight_decay is not None:
                made[key]["weight_decay"] = 0.0 if free else float(weight_decay)
                made[key]["name"] += "_no_decay" if free else ""
        made[key]["params"].append(names[name])
    return [made[key] for key in sorted(made)]


def _slower(lr: float, ratio: float, layers: int) -> float:
    """Return the rate of a layer that is so many below the last."""
    try:
        rate = lr / ratio**layers
    except OverflowError:
        rate = 0.0
    if rate == 0:
        raise InputError(
            f"the rate of a layer {layers} below the last would be 0, with a ratio of {ratio:g} "
            "from layer to layer: choose a ratio nearer to 1."
        )
    return rate


def _as_told(model: nn.Module, names: Iterable[str], layers: Any) -> dict[str, int]:
    """Return the layer of each parameter, from a function, a list or a dict."""
    if callable(layers) and not isinstance(layers, nn.Module):
        return {name: checks.count(f"layers({name!r})", layers(name)) for name in names}
    if isinstance(layers, (str, AbstractSet)) or not isinstance(layers, Iterable):
        raise InputError(
            f"layers must be a function from a name to a number, a list of modules or their names, "
            f"or a dict from names to numbers, not {layers!r:.60}."
        )
    if isinstance(layers, Mapping):
        told = [(name, checks.count(f"layers[{name!r}]", layers[name])) for name in layers]
    else:
        told = [(part, number) for number, entry in enumerate(layers) for part in _parts(entry)]
    prefixes: dict[str, int] = {}
    for part, number in told:
        if prefixes.setdefault(name := _name(model, part), number) != number:
            raise InputError(f"layers has {name!r} in two layers: leave it in one.")
    return {name: _matching(name, prefixes) for name in names}


def _parts(entry: Any) -> list[Any]:
    """Return what belongs to one layer."""
    return list(entry) if isinstance(entry, (list, tuple, AbstractSet)) else [entry]


def _name(model: nn.Module, part: Any) -> str:
    """Return the name of a module or parameter in the model."""
    if isinstance(part, nn.Module):
        found = [name for name, module in model.named_modules() if module is part]
        if not found:
            raise InputError(f"layers has a {type(part).__name__} that is not in the model.")
        return found[0]
    if not isinstance(part, str):
        raise InputError(
            f"layers must hold modules or their names, or lists of these, not {part!r:.60}."
        )
    known = {name for name, _ in model.named_modules(remove_duplicate=False)}
    known |= {name for name, _ in model.named_parameters(remove_duplicate=False)}
    if part not in known:
        raise InputError(
            f"layers has {part!r}, which is no module and no parameter of the model; it has "
            f"{', '.join(name for name, _ in model.named_children())}."
        )
    return part


def _matching(name: str, prefixes: Mapping[str, int]) -> int:
    """Return the layer with the longest prefix that the name begins with."""
    fitting = [(len(p), prefixes[p]) for p in prefixes if not p or f"{name}.".startswith(f"{p}.")]
    if not fitting:
        raise InputError(
            f"layers has no entry for the parameter {name!r}: add it, or a module that it is in."
        )
    return max(fitting)[1]


def _by_children(names: Iterable[str]) -> dict[str, int]:
    """Return the place of the child that each parameter is in."""
    children = list(dict.fromkeys(name.split(".")[0] for name in names if "." in name))
    return {name: children.index(name.split(".")[0]) if "." in name else 0 for name in names}


def _by_blocks(model: nn.Module, names: Iterable[str]) -> dict[str, int]:
    """Return 0 for what comes before the blocks, 1 … L for the blocks, L + 1 for what is after."""
    blocks = {f"{name}.": number for number, name in enumerate(_blocks(model), 1)}
    own = [
        next((number for block, number in blocks.items() if name.startswith(block)), None)
        for name in names
    ]
    last = max((place for place, number in enumerate(own) if number is not None), default=-1)
    ids: dict[str, int] = {}
    now = 0
    for place, (name, number) in enumerate(zip(names, own, strict=True)):
        now = len(blocks) + 1 if place > last else now if number is None else number
        ids[name] = now
    return ids


def _blocks(model: nn.Module) -> list[str]:
    """Return the names of the blocks, in the order of the model."""
    found: dict[type, list[str]] = {}
    weights: dict[type, int] = {}
    taken: list[str] = []
    for name, module in model.named_modules():
        if not isinstance(module, (nn.ModuleList, nn.Sequential)):
            continue
        prefix = f"{name}." if name else ""
        if name and any(prefix.startswith(outer) for outer in taken):
            continue  # inside of a block of a list further out
        children = [(f"{prefix}{key}", each) for key, each in module.named_children()]
        children = [(key, each) for key, each in children if any(True for _ in each.parameters())]
        kinds = {type(each) for _, each in children}
        if len(children) < 2 or len(kinds) != 1:
            continue
        kind = kinds.pop()
        found.setdefault(kind, []).extend(key for key, _ in children)
        taken += [f"{key}." for key, _ in children]
        weights[kind] = weights.get(kind, 0) + sum(p.numel() for p in module.parameters())
    if not found:
        raise InputError(
            "model has no ModuleList or Sequential of blocks of one type: tell what the layers are "
            f"{_HOW}"
        )
    first, *others = sorted(weights, key=weights.__getitem__, reverse=True)
    if others and weights[others[0]] > _RIVAL * weights[first]:
        raise InputError(
            f"model has blocks of more than one type, {first.__name__} and {others[0].__name__}, "
            f"so that it is not clear what its layers are: tell them {_HOW}"
        )
    return found[first]
