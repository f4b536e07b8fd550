"""Command line values that both workers take."""

from __future__ import annotations

from argparse import ArgumentTypeError


def positive_number(text: str) -> int:
    """Return a whole number above 0."""
    number = _whole(text)
    if number < 1:
        raise ArgumentTypeError(f"{text} is not above 0")
    return number


def port_number(text: str) -> int:
    """Return a TCP port, 0 for any free one."""
    number = _whole(text)
    if not 0 <= number <= 65535:
        raise ArgumentTypeError(f"{text} is not a port: give one from 0 to 65535")
    return number


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a whole number") from None
