"""Make the page of all schedules, ``docs/schedules.md``, and its pictures: ``make docs``."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from surefoot.plots import plot
from surefoot.schedules import Schedule, schedule
from surefoot.schedules._nodes import CALLABLE

DOCS = Path(__file__).parent
IMAGES = DOCS / "images" / "schedules"
TOTAL = 200

INTRODUCTION = """\
# All schedules

A schedule is a pure function from the number of an update to a factor: lr = the group's base lr ×
factor. Each is written here as text; in Python it is the same expression. A phase of n updates is
the half-open interval [s, s + n) and j counts the updates within it. Every picture shows a run of
{total} updates and was drawn by the library from the text above it. The full description of a
schedule, with its edge values, is its docstring: `help(surefoot.schedules.cosine)`.

```bash
surefoot schedule "warmup('5%') >> cosine()" --total 10000 --compare "wsd()" -o schedules.html
```

**Durations.** `500` updates · `0.1` or `"10%"` of the run · `"3 epochs"`, `"1/3 epochs"` ·
`"2e6 samples"` · `"2e9 tokens"` · nothing: the phase is open and fills what remains.

**Edges.** The last update of a warm-up is at the peak, the first update of a decay too; the last
update of a decay is one step short of its floor. Past its end a schedule stays at its end value. No
update has rate 0 unless you wrote a zero.
"""

SECTIONS: dict[str, dict[str, str]] = {
    "Warm-ups": {
        "warmup": "warmup(50) >> hold()",
        "exponential_warmup": "exponential_warmup(30)",
        "radam_warmup": "radam_warmup(0.98)",
    },
    "Constant": {"hold": "hold()", "constant": "constant(0.5)"},
    "Decays to a floor": {
        "linear": "linear(floor=0.1)",
        "cosine": "cosine(floor=0.1)",
        "polynomial": "polynomial(power=2)",
        "one_minus_sqrt": "hold(100) >> one_minus_sqrt()",
        "tanh": "tanh()",
    },
    "Decays without an end": {
        "exponential": "exponential(gamma=0.5, every=50)",
        "natural_exponential": "natural_exponential(1, every=50)",
        "inverse_time": "inverse_time(1, every=50)",
        "inverse_sqrt": "inverse_sqrt(20)",
        "power": "power(-1.5, timescale=50)",
    },
    "Stairs, points, tables, functions": {
        "step": "step(50, drop=0.5)",
        "multi_step": "multi_step(['40%', '80%'], drop=0.3)",
        "piecewise": "piecewise([(0, 0.2), (60, 1), (140, 0.4), (200, 0.1)], shape='linear')",
        "table": "table([1, 0.8, 0.3, 0.5, 0.1], every=40)",
        "function": "0.07 * function('math:sqrt')",
    },
    "Cycles": {"cyclic": "cyclic(50, low=0.1, decay=0.7)"},
    "Recipes: one line over the others": {
        "wsd": "wsd()",
        "linear_to_zero": "linear_to_zero()",
        "one_cycle": "one_cycle()",
        "one_cycle_momentum": "one_cycle_momentum()",
        "sgdr": "sgdr(20, growth=2, decay=0.8)",
        "noam": "noam(40)",
        "slanted_triangular": "slanted_triangular()",
    },
    "Algebra": {
        ">>": "warmup(20) >> hold(80) >> linear()",
        "*": "0.8 * warmup(20) * step(60, drop=0.5)",
        "repeat": "(warmup(5) >> cosine(25)).repeat(growth=1.5, decay=0.7)",
        "clip": "linear().clip(0.2, 0.8)",
        "staircase": "cosine().staircase(20)",
        "branch": "cosine(400).branch(120, linear())",
        "stretch": "(warmup(20) >> linear(80)).stretch(2)",
    },
}
OPERATORS = (">>", "*")
WORDS = {
    ">>": "One after another: each part starts at its own update 0 and is relative to the peak.",
    "*": "Factors multiplied: all parts start together; the shorter ones stay at their end value.",
}


def page() -> str:
    """Return the text of the page."""
    parts = [INTRODUCTION.format(total=TOTAL)]
    for title, entries in SECTIONS.items():
        parts.append(f"## {title}\n")
        parts += [_entry(name, text) for name, text in entries.items()]
    return "\n".join(parts)


def _entry(name: str, text: str) -> str:
    parts = [f"### `{_heading(name)}`", *_described(name), f"`{text}`"]
    return "\n\n".join([*parts, f"![{text}](images/schedules/{_file(name)})", ""])


def _heading(name: str) -> str:
    if name in OPERATORS:
        return f"a {name} b"
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(_documented(name)).parameters.values()
        if parameter.name != "self"
    ]
    return f"{'' if name in CALLABLE else 'a.'}{name}{inspect.Signature(parameters)}"


def _documented(name: str) -> Callable[..., Any]:
    return CALLABLE.get(name) or getattr(Schedule, name)


def _described(name: str) -> list[str]:
    """Return what a docstring says before its arguments, and its reference, as Markdown."""
    if name in OPERATORS:
        return [WORDS[name]]
    text = inspect.getdoc(_documented(name)) or ""
    head, _, tail = text.partition("\nArgs:")
    blocks = [_markdown(block) for block in head.strip().split("\n\n")]
    _, _, reference = tail.partition("\nReference:\n")
    told = re.split(r"^\w+:$", tail, flags=re.MULTILINE)[0]
    if arguments := re.findall(r"^    (\w+): (.*(?:\n      .*)*)", told, flags=re.MULTILINE):
        blocks.append("\n".join(f"* `{name}`: {_one_line(text)}" for name, text in arguments))
    return blocks + ([f"*{_one_line(reference)}*"] if reference else [])


def _one_line(text: str) -> str:
    return " ".join(_plain(text).split())


def _plain(text: str) -> str:
    return re.sub(r":\w+:`(.+?)`", r"`\1`", text.replace("``", "`"))


def _markdown(block: str) -> str:
    """Return a paragraph of a docstring as Markdown: equations and tables stand as they are."""
    if re.match(r"factor\(|===", block):
        lines = [line for line in block.replace("``", "").splitlines() if line[:2] != "=="]
        return "\n".join(["```text", *lines, "```"])
    return _plain(block)


def _file(name: str) -> str:
    return {">>": "sequence", "*": "product"}.get(name, name) + ".png"


def draw() -> None:
    """Write the pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for entries in SECTIONS.values():
        for name, text in entries.items():
            plan = schedule(text, allow_functions=True)
            figure = Figure(figsize=(4.6, 2.1), layout="constrained")
            axes = figure.subplots()
            plot({"": plan.resolve(TOTAL)}, ax=axes)
            axes.set_title("", loc="left")
            axes.set_ylim(0, 1.05)
            axes.set_ylabel("factor", fontsize=8)
            axes.set_xlabel("")
            figure.savefig(IMAGES / _file(name), dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    (DOCS / "schedules.md").write_text(page(), encoding="utf-8")
    draw()
