"""Hears the broker's receipts before stomp.py does, many at a time; everything else is stomp.py's to read.

A receipt for each message is half of what a publisher reads and writes, and stomp.py takes one frame at a time, with a
list of listeners for each. ``ReceiptTap`` is what ``reading.WholeFrames`` gives to ``take``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_RECEIPT = re.compile(rb"\n*RECEIPT\nreceipt-id:([0-9]+-[0-9]+)\n\n\0")


class ReceiptTap:
    """Gives the receipts of one connection to ``hear``, on the thread of stomp.py's receiver."""

    def __init__(self, hear: Callable[[Sequence[str]], None]) -> None:
        self._hear = hear

    def __call__(self, data: bytes) -> bytes:
        """Hear the receipts that ``data`` begins with, and return what follows them."""
        position, receipts = 0, []
        while match := _RECEIPT.match(data, position):
            receipts.append(match[1].decode())
            position = match.end()
        if receipts:
            self._hear(receipts)
        return data[position:]
