"""Curves that are made when they are first asked for: most of a record is seldom looked at."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from surefoot.records.curve import Curve

__all__ = ["LazyCurves"]


class LazyCurves(Mapping[str, Curve]):
    """Curves by name, each made once, when it is needed.

    Args:
        makers: of each curve.

    Example:
        >>> curves = LazyCurves({"loss": lambda: Curve([0], [1.0]), "lr": lambda: 1 / 0})
        >>> list(curves), curves["loss"] is curves["loss"]
        (['loss', 'lr'], True)
    """

    def __init__(self, makers: Mapping[str, Callable[[], Curve]]) -> None:
        self._makers = dict(makers)
        self._made: dict[str, Curve] = {}

    def chosen(self, names: Iterable[tuple[str, str]]) -> "LazyCurves":
        """Return some of the curves, in an order and under names of their own: (name, ours)."""
        return LazyCurves({name: self._maker(ours) for name, ours in names})

    def _maker(self, name: str) -> Callable[[], Curve]:
        return lambda: self[name]

    def __getitem__(self, name: str) -> Curve:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __reduce__(self) -> tuple[type, tuple[dict[str, Curve]]]:
        return dict, (dict(self),)  # makers hold a file's blocks; what they make can be copied
