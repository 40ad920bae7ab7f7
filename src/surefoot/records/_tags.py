"""Names of curves: what other tools call the loss, the lr, … and which of ours is meant."""

import re
from collections.abc import Iterable

__all__ = ["CANONICAL", "canonical_names"]

CANONICAL = ("loss", "validation_loss", "lr", "grad_norm", "update_ratio")

# What a name must hold, after "-", ".", ":" and spaces have become "_".
_MEANING = {
    "lr": re.compile(r"lr|learning_?rate"),
    "grad_norm": re.compile(r"grad(?:ient)?s?(?:_l?2)?[_/]?norm"),
    "update_ratio": re.compile(r"update_ratio"),
    "loss": re.compile(r"loss(?:es)?"),
}
_WORD = re.compile(r"[a-z]+|\d+")
_TRAIN = {"train", "training", "trainer"}
# The less a word says "validation", the later it is taken.
_VALIDATION = {
    **dict.fromkeys(("validation", "val", "valid"), 0),
    **dict.fromkeys(("eval", "evaluation"), 1),
    "dev": 2,
    **dict.fromkeys(("test", "testing"), 3),
}
# Words that change nothing about what is meant, and how much less exact each makes a name.
_FILLER = {
    **dict.fromkeys(("step", "batch", "total", "global", "mean", "avg", "average"), 1),
    **dict.fromkeys(("metrics", "metric", "scalars"), 1),
    "lm": 2,
    "epoch": 3,
}
_OPTIMIZER = {"optim", "optimizer", "optimizers", "opt"}
_GROUP = {"group", "param", "params", "pg", "groups"}
# Lightning's monitor: lr-AdamW, lr-AdamW-1, lr-AdamW/pg2 (but not lr-AdamW-momentum).
_MONITOR = re.compile(r"lr-[A-Z][A-Za-z0-9]*(?:-\d+)?(?:/pg(?P<group>\d+))?")


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """Return which recorded name stands for each canonical one, {canonical: recorded}.

    Where several names claim one canonical name the most exact one gets it (the exact name
    itself, the first parameter group, ``val`` before ``test``), and of equals the first.
    """
    best: dict[str, tuple[int, str]] = {}
    for name in names:
        claim = _claim(name)
        if claim is None:
            continue
        canonical, distance = claim
        if canonical not in best or distance < best[canonical][0]:
            best[canonical] = (distance, name)
    return {canonical: best[canonical][1] for canonical in CANONICAL if canonical in best}


def _claim(name: str) -> tuple[str, int] | None:
    """Return the canonical name that ``name`` means and how far from exact it is, or None."""
    if name in CANONICAL:
        return name, 0
    text = name.rpartition(" - ")[2].strip()  # "my-run - train/loss" of a W&B export
    monitor = _MONITOR.fullmatch(text)
    if monitor:
        return "lr", 10 + int(monitor["group"] or 0)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text.replace("2.0", "2")).lower()
    text = re.sub(r"[\s.:\-]+", "_", text)
    for canonical, meaning in _MEANING.items():
        found = re.search(rf"(?<![a-z])(?:{meaning.pattern})(?![a-z])", text)
        if found:
            rest = _WORD.findall(text[: found.start()] + "/" + text[found.end() :])
            return _with_rest(canonical, rest)
    return None


def _with_rest(canonical: str, rest: list[str]) -> tuple[str, int] | None:
    """Judge the words around the meaning: a word that is not known makes it another quantity."""
    distance = 1
    validation = [_VALIDATION[word] for word in rest if word in _VALIDATION]
    if validation:
        if canonical != "loss" or not _TRAIN.isdisjoint(rest):
            return None
        canonical = "validation_loss"
        distance += 10 * max(validation)
    for word in rest:
        if word in _FILLER:
            distance += _FILLER[word]
        elif canonical == "lr" and word in _OPTIMIZER:
            distance += 1
        elif canonical == "lr" and (word in _GROUP or word.isdecimal()):
            distance += 10 + (min(int(word), 10**6) if word.isdecimal() else 0)
        elif word not in _TRAIN and word not in _VALIDATION:
            return None
    return canonical, distance
