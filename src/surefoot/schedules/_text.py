"""The text form of schedules: Python expression syntax, read with a whitelist, never evaluated."""

import ast
import difflib
import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, cast

from surefoot._base.checks import number
from surefoot.errors import InputError, ScheduleTextError
from surefoot.schedules._nodes import CALLABLE, METHODS
from surefoot.schedules._schedule import Schedule
from surefoot.schedules.hold import constant

__all__ = ["schedule"]

LONGEST = 10_000
"""Characters of the longest text that is read."""

DEEPEST = 100
"""Levels of the deepest nesting that is read."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
"""A line as Python counts them; ``str.splitlines`` knows more ends of line."""


def schedule(source: "str | Schedule | float", *, allow_functions: bool = False) -> Schedule:
    """Return the schedule that a text describes.

    The text is what one would write in Python: calls of the schedules in this package, such as
    ``warmup(500)`` and ``wsd()``, with literal arguments (a bare name is a call without any), put
    together by ``>>``, ``*``, parentheses, numbers, and the methods ``.stretch``, ``.repeat``,
    ``.clip``, ``.staircase`` and ``.branch``. It is parsed, not evaluated.

    Args:
        source: the text, at most 10,000 characters; a schedule is returned as it is, a number is a
            constant factor.
        allow_functions: whether ``function("package.module:name")`` may import that module.

    Raises:
        ScheduleTextError: the text is not such an expression; the message points at the place.
        InputError: ``source`` is none of these.

    Example:
        >>> schedule("warmup(500) >> cosine(floor=0.1)")
        warmup(500) >> cosine(floor=0.1)
        >>> schedule("0.5 * linear")
        0.5 * linear()
        >>> schedule("warmup(500) >> cosin")
        Traceback (most recent call last):
        ...
        surefoot.errors.ScheduleTextError: There is no schedule 'cosin'; did you mean 'cosine'?
          warmup(500) >> cosin
                         ^
    """
    if isinstance(source, Schedule):
        return source
    if isinstance(source, str):
        return _Reader(source, allow_functions=allow_functions).read()
    return constant(number("A schedule (a Schedule, its text, or a factor)", source))


class _Reader:
    """One text on its way to a schedule."""

    def __init__(self, text: str, *, allow_functions: bool) -> None:
        self._text = text
        self._allow_functions = allow_functions
        self._lines = _LINE.findall(text)
        # where a line of the parsed text begins in the original one; the parsed text is put in
        # parentheses so that it may go over several lines
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def read(self) -> Schedule:
        text = self._text
        if not text.strip():
            raise ScheduleTextError(
                'The text is empty: write a schedule such as "warmup(500) >> cosine()".', text, 0
            )
        if len(text) > LONGEST:
            self._refuse(f"The text has more than {LONGEST} characters.", LONGEST)
        node = self._parse()
        value = self._node(node, 0)
        if isinstance(value, Schedule):
            return value
        return self._checked(node, lambda: constant(value))

    def _parse(self) -> ast.expr:
        self._check_parentheses()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's remarks on odd literals
                return ast.parse(f"({self._text}\n)", mode="eval").body
        except SyntaxError as error:
            column = (error.offset or 1) - 1 - (1 if error.lineno == 1 else 0)
            position = self._position((error.lineno or 1) - 1, max(column, 0))
            reason = (error.msg or "invalid syntax").split(" (<")[0]
            raise ScheduleTextError(
                f"This cannot be read ({reason}).", self._text, position
            ) from None
        except (ValueError, MemoryError, RecursionError) as error:
            raise ScheduleTextError(f"This cannot be read ({error}).", self._text, 0) from None

    def _check_parentheses(self) -> None:
        """Refuse what the parentheses put around the text, or Python's parser, would not."""
        unclosed: list[int] = []
        quote = ""
        for position, character in enumerate(self._text):
            if quote:
                quote = "" if character in (quote, "\n") else quote
            elif character in "'\"":
                quote = character
            elif character in "([{":
                unclosed.append(position)
            elif character in ")]}" and not unclosed:
                self._refuse(f"{character!r} closes nothing.", position)
            elif character in ")]}":
                unclosed.pop()
            if len(unclosed) > DEEPEST:
                self._refuse(f"Parentheses may be nested {DEEPEST} deep at most.", position)
        if unclosed and not quote:
            self._refuse(f"{self._text[unclosed[-1]]!r} is never closed.", unclosed[-1])

    def _refuse(self, message: str, position: int) -> NoReturn:
        raise ScheduleTextError(message, self._text, position)

    def _node(self, node: ast.expr, depth: int) -> Schedule | float:
        """Return what an expression stands for: a schedule or a number."""
        if depth > DEEPEST:
            self._fail(node, f"Schedules may be nested {DEEPEST} deep at most.")
        if isinstance(node, ast.BinOp):
            return self._chain(node, depth)
        if isinstance(node, ast.Name):
            return self._build(node, node, [], [])
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        return self._number(node)

    def _chain(self, node: ast.BinOp, depth: int) -> Schedule | float:
        """Return ``a op b op c …``, without one level of recursion for each operator."""
        right: list[ast.BinOp] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp):
            right.append(left)
            left = left.left
        value = self._node(left, depth + 1)
        for operation in reversed(right):
            value = self._combine(operation, value, self._node(operation.right, depth + 1))
        return value

    def _combine(
        self, node: ast.BinOp, left: Schedule | float, right: Schedule | float
    ) -> Schedule | float:
        if isinstance(node.op, ast.Mult):
            number_side = node.left if isinstance(right, Schedule) else node.right
            return self._checked(number_side, lambda: cast("Any", left) * right)
        if isinstance(node.op, ast.RShift):
            for value, side in ((left, node.left), (right, node.right)):
                if not isinstance(value, Schedule):
                    self._fail(side, f"A number cannot be a phase: write constant({value!r:.20}).")
            return self._checked(
                node.right, lambda: cast("Schedule", left) >> cast("Schedule", right)
            )
        words = "Schedules are put together by '>>' and '*' only."
        return self._fail(node.right, words, before=True)

    def _call(self, node: ast.Call, depth: int) -> Schedule:
        function = node.func
        if isinstance(function, ast.Name):
            return self._build(node, function, node.args, node.keywords)
        if isinstance(function, ast.Attribute) and function.attr in METHODS:
            inner = self._node(function.value, depth + 1)
            if not isinstance(inner, Schedule):
                self._fail(function.value, f"Only a schedule has a method {function.attr!r}.")
            method = getattr(inner, function.attr)
            return self._made(node, method, function.attr, node.args, node.keywords, depth)
        methods = ", ".join(f".{method}" for method in METHODS)
        return self._fail(
            function, f"Only schedules by name, and {methods} of one, can be called here."
        )

    def _build(
        self, node: ast.expr, name: ast.Name, args: list[ast.expr], keywords: list[ast.keyword]
    ) -> Schedule:
        """Return the schedule of a call by name."""
        factory = CALLABLE.get(name.id)
        if factory is None:
            close = difflib.get_close_matches(name.id, CALLABLE, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(CALLABLE)}."
            self._fail(name, f"There is no schedule {name.id!r}; {hint}")
        if name.id == "function" and not self._allow_functions:
            self._fail(
                name,
                "A Python function is code, so it is read only where that is allowed: "
                "allow_functions=True, or --allow-functions.",
            )
        return self._made(node, factory, name.id, args, keywords, 0)

    def _made(
        self,
        node: ast.expr,
        factory: Callable[..., Schedule],
        name: str,
        args: list[ast.expr],
        keywords: list[ast.keyword],
        depth: int,
    ) -> Schedule:
        """Return what a call makes, with every wrong argument pointed at."""
        parameters = inspect.signature(factory).parameters
        allowed = list(parameters)
        free = [
            key for key in allowed if parameters[key].kind is not inspect.Parameter.KEYWORD_ONLY
        ]
        if len(args) > len(free):
            self._fail(args[len(free)], f"{name} takes at most {len(free)} arguments: {free}.")
        given = dict(zip(free, args, strict=False))
        for keyword in keywords:
            if keyword.arg not in allowed:
                word = f"no argument {keyword.arg!r}" if keyword.arg else "no '**'"
                self._fail(keyword, f"{name} has {word}; it has {', '.join(allowed)}.")
            if keyword.arg in given:
                self._fail(keyword, f"{keyword.arg} is given twice.")
            given[keyword.arg] = keyword.value
        if missing := [
            key
            for key in allowed
            if parameters[key].default is inspect.Parameter.empty and key not in given
        ]:
            self._fail(node, f"{name} needs {' and '.join(missing)}.")
        values = {
            key: self._schedule(value, depth) if key == "tail" else self._literal(value)
            for key, value in given.items()
        }
        try:
            return factory(**values)
        except (InputError, OverflowError) as error:
            words = str(error).split()
            about = [key for key in given if key in words[:1]] or [k for k in given if k in words]
            self._fail(given[about[0]] if about else node, str(error))

    def _schedule(self, node: ast.expr, depth: int) -> Schedule:
        """Return the schedule that an argument is."""
        value = self._node(node, depth + 1)
        if not isinstance(value, Schedule):
            self._fail(node, "A schedule must stand here.")
        return value

    def _literal(self, node: ast.expr) -> Any:
        if isinstance(node, (ast.List, ast.Tuple)):
            return tuple(self._literal(each) for each in node.elts)
        if isinstance(node, ast.Constant) and (
            isinstance(node.value, (str, bool)) or node.value is None
        ):
            return node.value
        return self._number(node)

    def _number(self, node: ast.expr) -> float:
        """Return the number that a literal, with or without a sign, stands for."""
        sign = 1
        inner = node
        if isinstance(inner, ast.UnaryOp) and isinstance(inner.op, (ast.USub, ast.UAdd)):
            sign = -1 if isinstance(inner.op, ast.USub) else 1
            inner = inner.operand
        if isinstance(inner, ast.Constant) and type(inner.value) in (int, float):
            return sign * cast("float", inner.value)
        return self._fail(node, "Only schedules, numbers and quoted durations can stand here.")

    def _checked(self, node: ast.AST, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except (InputError, OverflowError) as error:
            self._fail(node, str(error))

    def _fail(self, node: ast.AST, message: str, *, before: bool = False) -> NoReturn:
        line, column = cast("Any", node).lineno - 1, cast("Any", node).col_offset
        position = self._position(line, self._characters(line, column))
        if before:  # point at the operator, which has no place of its own
            position -= 1
            while position > 0 and self._text[position] in " \t\r\n(":
                position -= 1
        raise ScheduleTextError(message, self._text, position)

    def _characters(self, line: int, column: int) -> int:
        """Return the characters before a place that ast gives in bytes of UTF-8."""
        shift = 1 if line == 0 else 0  # the parenthesis put in front
        return len(self._lines[line].encode()[: column - shift].decode(errors="ignore"))

    def _position(self, line: int, column: int) -> int:
        if line >= len(self._lines):
            return len(self._text.rstrip())
        return min(self._starts[line] + column, len(self._text))
