"""What is wrong with the learning rate of a run."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from surefoot._base.codec import Record
from surefoot.records.curve import Curve

__all__ = ["Diagnosis", "Remedy", "Verdict"]


@dataclass(frozen=True)
class Remedy(Record):
    """What to do about a verdict.

    Args:
        action: ``"lower_lr"``, ``"raise_lr"`` or ``"none"``.
        factor: what to multiply the learning rate by; 1 for ``"none"``.
        text: the same in words.
    """

    action: Literal["lower_lr", "raise_lr", "none"]
    factor: float
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Verdict(Record):
    """What is wrong, since when, how sure, on what evidence, which way and by what factor.

    Args:
        code: stable name of the rule, such as ``"LR202"``.
        title: the finding in a few words.
        severity: ``"error"`` (the run is lost) or ``"warning"`` (it could be better).
        is_lr_fault: whether the learning rate is to blame.
        direction: where the rate should go.
        factor: what to multiply the rate by, with ``factor_low`` … ``factor_high`` as its range.
        since: update from which on it holds; None if that cannot be told.
        confidence: 0 … 1.
        evidence: the numbers it rests on.
        remedy: what to do.
    """

    code: str
    title: str
    severity: Literal["error", "warning"]
    is_lr_fault: bool
    direction: Literal["lower", "raise", "none"]
    factor: float
    factor_low: float
    factor_high: float
    since: int | None
    confidence: float
    evidence: Mapping[str, float]
    remedy: Remedy

    def sentence(self, unit: str = "update") -> str:
        """Return the verdict in words; ``unit`` is what ``since`` counts."""
        since = "" if self.since is None else f" since {unit} {self.since}"
        sure = f"{100 * self.confidence:.0f} % sure"
        return f"{self.code} {self.title}{since} ({sure}). {self.remedy}"

    def __str__(self) -> str:
        return self.sentence()


@dataclass(frozen=True)
class Diagnosis(Record):
    """The verdicts on one run and the estimate of its lr ÷ the best lr.

    Args:
        run: what the run is called.
        verdicts: the worst first; none means healthy, if it was judged.
        lr_over_best_log10: estimate of log10(lr ÷ best lr), with its 80 % interval; NaN where the
            record does not allow one.
        reason: one sentence.
        judged: whether the record was enough to judge; without it the run is not called healthy.
        unit: what the record counts in: "update", "epoch" or "row".
        loss: the training loss, thinned, for drawing; not part of the JSON.
    """

    run: str
    verdicts: tuple[Verdict, ...]
    lr_over_best_log10: float = math.nan
    lr_over_best_log10_low: float = math.nan
    lr_over_best_log10_high: float = math.nan
    reason: str = ""
    judged: bool = True
    unit: str = "update"
    loss: Curve = field(default_factory=lambda: Curve([], []), metadata={"json": False})

    @property
    def healthy(self) -> bool:
        """Whether it was judged and nothing is wrong."""
        return self.judged and not self.verdicts

    @property
    def lr_over_best(self) -> float:
        """Estimate of lr ÷ best lr; NaN where the record does not allow one."""
        return 10.0**self.lr_over_best_log10

    @property
    def label(self) -> str:
        """The first verdict's title, or "healthy", or "not judged"."""
        if self.verdicts:
            return self.verdicts[0].title
        return "healthy" if self.judged else "not judged"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types, with ``healthy`` beside them."""
        fields = super().to_dict()
        return {"run": fields.pop("run"), "healthy": self.healthy, **fields}

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)

    def __bool__(self) -> bool:
        """Return True: a healthy diagnosis is a diagnosis; ask ``.healthy``."""
        return True

    def __str__(self) -> str:
        found = "; ".join(each.sentence(self.unit) for each in self.verdicts) or self.label
        return f"{self.run}: {found}"
