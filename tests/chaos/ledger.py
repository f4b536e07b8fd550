"""The account of a run: what was committed, what became of it, and the verdict."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Books:
    """What the tables and queues say when everything has been given its time.

    ``effects`` are the numbers of the effect table, one for each row. ``unsent`` are committed messages that the outbox
    still holds, ``queued`` those that a queue holds, by its name. ``keyed`` are keys and numbers in the order in which
    the broker got them; numbers of one key were written in ascending order. ``has_keys``: the library promises to keep
    that order.
    """

    committed: Collection[int]
    effects: Collection[int]
    unsent: Collection[int]
    queued: Mapping[str, Collection[int]]
    keyed: Sequence[tuple[str, int]]
    has_keys: bool
    received: int
    published: int


@dataclass(frozen=True)
class Verdict:
    """The counts that must be 0: the promised three, messages that were rolled back, and overtaken ones in a key."""

    lost: tuple[int, ...]
    doubled: tuple[int, ...]
    stuck: Mapping[str, tuple[int, ...]]
    ghosts: tuple[int, ...]
    sums_agree: bool
    disordered: tuple[int, ...]
    order_promised: bool

    @property
    def stuck_count(self) -> int:
        """How many messages have not arrived and still are somewhere."""
        return len({number for numbers in self.stuck.values() for number in numbers})

    @property
    def good(self) -> bool:
        """Whether the promise was kept."""
        wrong = (
            self.lost or self.doubled or self.stuck_count or self.ghosts or (self.order_promised and self.disordered)
        )
        return not wrong and self.sums_agree


def judge(books: Books) -> Verdict:
    """Say of each message that did not have exactly one effect what it is: lost, doubled, stuck, or a ghost."""
    committed, effects = set(books.committed), Counter(books.effects)
    missing = committed - effects.keys()
    stuck = {"the outbox": tuple(sorted(missing & set(books.unsent)))}
    stuck |= {f"queue {name}": tuple(sorted(missing & set(numbers))) for name, numbers in books.queued.items()}
    found = {number for numbers in stuck.values() for number in numbers}
    return Verdict(
        lost=tuple(sorted(missing - found)),
        doubled=tuple(sorted(number for number, times in effects.items() if times > 1)),
        stuck={place: numbers for place, numbers in stuck.items() if numbers},
        ghosts=tuple(sorted(effects.keys() - committed)),
        sums_agree=sum(committed) == sum(books.effects),
        disordered=tuple(sorted(_overtaken(books.keyed))),
        order_promised=books.has_keys,
    )


def _overtaken(keyed: Iterable[tuple[str, int]]) -> set[int]:
    """Return the numbers whose first copy came after a later number of the same key. Further copies do not count."""
    highest: dict[str, int] = {}
    seen: set[int] = set()
    found = set()
    for key, number in keyed:
        if number not in seen and number < highest.get(key, 0):
            found.add(number)
        seen.add(number)
        highest[key] = max(number, highest.get(key, 0))
    return found


@dataclass
class Report:
    """What a run prints."""

    library: str
    mode: str
    seed: int
    seconds: float
    books: Books
    verdict: Verdict
    faults: dict[str, Counter[str]]
    rolled_back: int
    duplicates: int
    recovery: float | None
    longest_silence: float
    missed: int = 0
    retried: int = 0
    trouble: list[str] = field(default_factory=list)
    whereabouts: list[str] = field(default_factory=list)
    restarts: dict[str, str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether the run proves what it set out to prove."""
        return self.verdict.good and self.recovery is not None and not self.trouble

    def lines(self) -> list[str]:
        """Return the ledger as text."""
        books, verdict = self.books, self.verdict
        total = sum(counter.total() for counter in self.faults.values())
        recovery = "not within the deadline" if self.recovery is None else f"{self.recovery:.1f} s"
        rows: list[tuple[str, Any]] = [
            ("faults", total),
            ("planned faults that found nobody there", self.missed),
            ("messages committed", len(books.committed)),
            ("rolled back on purpose", self.rolled_back),
            ("marked as published", books.published),
            ("received (inbox rows)", books.received),
            ("effects (rows)", len(books.effects)),
            ("effects of a second or later try", self.retried),
            ("duplicates delivered, stopped by the inbox", self.duplicates),
            ("lost", len(verdict.lost)),
            ("effects doubled", len(verdict.doubled)),
            ("stuck", verdict.stuck_count),
            ("effects of rolled back transactions", len(verdict.ghosts)),
            ("messages with a key", len({number for _, number in books.keyed})),
            (
                f"overtaken within their key{'' if verdict.order_promised else ' (not promised)'}",
                len(verdict.disordered),
            ),
            ("sum of the numbers agrees", "yes" if verdict.sums_agree else "no"),
            ("all arrived after the last fault", recovery),
            ("longest time without an effect", f"{self.longest_silence:.1f} s"),
        ]
        text = [f"{self.library}, {self.mode}, SEED={self.seed}, {self.seconds:.0f} s", ""]
        text += [f"  {name:<44}{value if isinstance(value, str) else format(value, ',')}" for name, value in rows]
        text += ["", "  faults by target and kind"]
        text += [
            f"    {target:<20}" + ", ".join(f"{kind} {count}" for kind, count in sorted(counter.items()))
            for target, counter in sorted(self.faults.items())
        ]
        text += ["", "  processes"] if self.restarts else []
        text += [f"    {name:<20}{words}" for name, words in self.restarts.items()]
        text += self._evidence()
        return text

    def _evidence(self) -> list[str]:
        verdict = self.verdict
        named = {"lost": verdict.lost, "effects doubled": verdict.doubled, "rolled back, yet arrived": verdict.ghosts}
        named |= {"overtaken within their key": verdict.disordered}
        named |= {f"stuck in {place}": numbers for place, numbers in verdict.stuck.items()}
        text = [f"  {name}: {_some(numbers)}" for name, numbers in named.items() if numbers]
        text += [f"  the rig failed: {words}" for words in self.trouble]
        if self.whereabouts:
            text += ["", "  who held what at the deadline", *(f"    {line}" for line in self.whereabouts)]
        return text

    def as_json(self) -> str:
        """Return the figures for machines."""
        verdict, books = self.verdict, self.books
        return json.dumps(
            {
                "library": self.library,
                "mode": self.mode,
                "seed": self.seed,
                "seconds": round(self.seconds, 1),
                "faults": self.faults,
                "missed": self.missed,
                "committed": len(books.committed),
                "rolled_back": self.rolled_back,
                "published": books.published,
                "received": books.received,
                "effects": len(books.effects),
                "retried": self.retried,
                "duplicates": self.duplicates,
                "lost": len(verdict.lost),
                "doubled": len(verdict.doubled),
                "stuck": verdict.stuck_count,
                "ghosts": len(verdict.ghosts),
                "keyed": len({number for _, number in books.keyed}),
                "disordered": len(verdict.disordered),
                "recovery": self.recovery,
                "longest_silence": self.longest_silence,
                "good": self.good,
            },
            indent=2,
        )


def _some(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, numbers[:10]))
    return shown if len(numbers) <= 10 else f"{shown} and {len(numbers) - 10} more"
