"""The part of the Common Expression Language that the rules of our CRDs are written in.

A rule is compiled to a function once. What the rules do not use is not understood, and says so when a rule is
compiled, so that a rule can never be passed over in silence.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from outbox_operator.errors import OperatorError

Scope = Mapping[str, Any]
Function = Callable[[Scope], Any]


class CelError(OperatorError):
    """A rule cannot be understood, or has no value for this object (a field that it reads is absent)."""


class Rule(NamedTuple):
    """A compiled rule."""

    evaluate: Function
    names: frozenset[str]
    """Variables that it reads: self, oldSelf."""


_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<text>r?'(?:[^'\\]|\\.)*'|r?"(?:[^"\\]|\\.)*")"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<sign>\|\||&&|[=!<>]=|[-+*/%!<>().,?:\[\]]))"""
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
_LEVELS: Final[tuple[Mapping[str, Callable[[Any, Any], Any]], ...]] = (
    {
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "in": lambda item, container: item in container,
    },
    {"+": operator.add, "-": operator.sub},
    # Division goes towards zero, as in the language of the API server.
    {"*": operator.mul, "/": lambda a, b: int(a / b), "%": lambda a, b: int(math.fmod(a, b))},
)
_METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    "matches": lambda text, pattern: re.search(pattern, text, re.ASCII) is not None,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": lambda text, part: part in text,
    "size": len,
}
_TYPES: Final[Mapping[str, type]] = {
    "int": int,
    "string": str,
    "double": float,
    "bool": bool,
    "list": list,
    "map": dict,
}
_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "size": len,
    "type": type,
    **{name: _TYPES[name] for name in ("int", "string", "double")},
}
_MACROS: Final[Mapping[str, Callable[[list[Any]], bool]]] = {
    "exists": any,
    "all": all,
    "exists_one": lambda found: found.count(True) == 1,
}
_CONSTANTS: Final = {"true": True, "false": False, "null": None}


@cache
def compile_rule(text: str) -> Rule:
    """Compile a rule.

    Raises:
        CelError: it uses something that is not understood here.
    """
    parser = _Parser(text)
    return Rule(parser.whole(), frozenset(parser.names))


class _Parser:
    """Recursive descent, one method a level of precedence; each returns a function of the variables."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._bound: list[str] = []
        self.names: set[str] = set()

    def whole(self) -> Function:
        value = self._choice()
        if self._tokens:
            raise self._error(f"{self._tokens[0]!r} is not expected")
        return value

    def _choice(self) -> Function:
        condition = self._or()
        if not self._take("?"):
            return condition
        first = self._choice()
        self._expect(":")
        second = self._choice()
        return lambda scope: first(scope) if condition(scope) else second(scope)

    def _or(self) -> Function:
        value = self._and()
        while self._take("||"):
            value = _decided_by(True, value, self._and())
        return value

    def _and(self) -> Function:
        value = self._level(0)
        while self._take("&&"):
            value = _decided_by(False, value, self._level(0))
        return value

    def _level(self, number: int) -> Function:
        if number == len(_LEVELS):
            return self._unary()
        value = self._level(number + 1)
        while self._tokens and self._tokens[0] in _LEVELS[number]:
            value = _binary(_LEVELS[number][self._tokens.pop(0)], value, self._level(number + 1))
        return value

    def _unary(self) -> Function:
        if self._take("!"):
            value = self._unary()
            return lambda scope: not value(scope)
        if self._take("-"):
            value = self._unary()
            return lambda scope: -value(scope)
        return self._member(self._primary())

    def _member(self, value: Function) -> Function:
        while self._tokens and self._tokens[0] in (".", "["):
            if self._take("["):
                value = _binary(_item, value, self._choice())
                self._expect("]")
                continue
            self._expect(".")
            name = self._tokens.pop(0)
            value = self._call(value, name) if self._take("(") else _binary(_item, value, _named(name))
        return value

    def _call(self, value: Function, name: str) -> Function:
        if name in _MACROS:
            return self._macro(value, _MACROS[name])
        if name not in _METHODS:
            raise self._error(f"there is no method {name}")
        return _applied(_METHODS[name], [value, *self._arguments()])

    def _macro(self, values: Function, of_all: Callable[[list[Any]], bool]) -> Function:
        variable = self._tokens.pop(0)
        self._expect(",")
        self._bound.append(variable)
        condition = self._choice()
        self._bound.pop()
        self._expect(")")
        return lambda scope: of_all([condition({**scope, variable: item}) for item in values(scope)])

    def _arguments(self) -> list[Function]:
        found: list[Function] = []
        while not self._take(")"):
            found.append(self._choice())
            if not self._take(","):
                self._expect(")")
                break
        return found

    def _primary(self) -> Function:
        if not self._tokens:
            raise self._error("it ends too early")
        word = self._tokens.pop(0)
        if word == "(":
            value = self._choice()
            self._expect(")")
            return value
        if word == "[":
            items = self._items()
            return lambda scope: [item(scope) for item in items]
        if word[0].isdigit() or word[-1] in "'\"" or word in _CONSTANTS:
            constant = _constant(word)
            return lambda _: constant
        return self._named(word)

    def _items(self) -> list[Function]:
        found: list[Function] = []
        while not self._take("]"):
            found.append(self._choice())
            self._take(",")
        return found

    def _named(self, name: str) -> Function:
        if self._take("("):
            if name == "has":
                return self._has()
            if name not in _FUNCTIONS:
                raise self._error(f"there is no function {name}")
            return _applied(_FUNCTIONS[name], self._arguments())
        if not name.isidentifier():
            raise self._error(f"{name!r} is not expected")
        if name in self._bound or name not in _TYPES:
            self.names.update({name}.difference(self._bound))
            return lambda scope: scope[name]
        named = _TYPES[name]
        return lambda _: named

    def _has(self) -> Function:
        value = self._choice()
        self._expect(")")

        def present(scope: Scope) -> bool:
            try:
                return value(scope) is not None
            except CelError:
                return False

        return present

    def _take(self, token: str) -> bool:
        if self._tokens and self._tokens[0] == token:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._error(f"{token!r} is missing")

    def _error(self, what: str) -> CelError:
        return CelError(f"the rule {self._text!r} is not understood: {what}")


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise CelError(f"the rule {text!r} is not understood from {text[place : place + 10]!r} on")
        found.append(match[0].strip())
        place = match.end()
    return found


def _constant(token: str) -> Any:
    if token in _CONSTANTS:
        return _CONSTANTS[token]
    if token[0].isdigit():
        return float(token) if "." in token else int(token)
    if token[0] == "r":
        return token[2:-1]
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), token[1:-1])


def _named(name: str) -> Function:
    return lambda _: name


def _item(container: Any, key: Any) -> Any:
    try:
        return container[key]
    except (KeyError, IndexError, TypeError) as error:
        raise CelError(f"no such key: {key}") from error


def _binary(function: Callable[[Any, Any], Any], left: Function, right: Function) -> Function:
    return _applied(function, [left, right])


def _applied(function: Callable[..., Any], arguments: list[Function]) -> Function:
    def value(scope: Scope) -> Any:
        try:
            return function(*(argument(scope) for argument in arguments))
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise CelError(str(error)) from error

    return value


def _decided_by(decisive: bool, left: Function, right: Function) -> Function:
    """Join two conditions; a side that has no value does not matter when the other one decides."""

    def value(scope: Scope) -> bool:
        try:
            first = bool(left(scope))
        except CelError:
            if bool(right(scope)) is decisive:
                return decisive
            raise
        return decisive if first is decisive else bool(right(scope))

    return value
