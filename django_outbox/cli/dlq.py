"""``outbox dlq list|replay|purge QUEUE``: the dead letters of a queue, over STOMP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from django_outbox.cli import FINE, NEEDS_ATTENTION, WRONG_USAGE
from django_outbox.cli.arguments import OneLineParser, add_dry_run, add_json, duration, positive_number
from django_outbox.cli.output import WIDTH, plural, shorten
from django_outbox.deadletters import Drawer, Reach, Replay, Wanted
from django_outbox.durations import age

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from django_outbox.cli.output import Output
    from django_outbox.deadletters import DeadLetter

HELP = "list, replay or remove the dead letters of a queue"

_LISTED = 100
# Beyond this RabbitMQ's quorum queues of 4.x (a limit of 20) are near to dropping a letter that is looked at.
_OFTEN_RETURNED = 10


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of each deed."""
    deeds = parser.add_subparsers(
        title="subcommands", dest="deed", metavar="list|replay|purge", required=True, parser_class=OneLineParser
    )
    for name, words in (
        ("list", "show dead letters and leave them where they are"),
        ("replay", "send dead letters to their queues again"),
        ("purge", "remove dead letters for good"),
    ):
        deed = deeds.add_parser(name, help=words, description=f"{words[:1].upper()}{words[1:]}.", allow_abbrev=False)
        _add_letters(deed, _LISTED if name == "list" else None)
        if name != "list":
            add_dry_run(deed)
        if name == "purge":
            deed.add_argument("--yes", action="store_true", help="do not ask")
        add_json(deed)


def run(options: dict[str, Any], out: Output) -> int:
    """Do the deed; the exit code says whether something needs attention."""
    return {"list": _list, "replay": _replay, "purge": _purge}[options["deed"]](options, out)


def _add_letters(parser: ArgumentParser, limit: int | None) -> None:
    parser.add_argument("queue", metavar="QUEUE", help="the subscriber's queue; its dead letters are in DLQ.QUEUE")
    which = parser.add_argument_group("which letters (those that fit all of these)")
    which.add_argument("--id", action="append", metavar="ID", help="a message's dop-msg-id; may be given often")
    which.add_argument("--error", metavar="TEXT", help="letters whose error has this in it")
    which.add_argument("--older-than", type=duration, metavar="AGE", help="failed longer ago, like 2h or 3d")
    bound = f"default: {limit}" if limit else "default: all"
    which.add_argument("--limit", type=positive_number, default=limit, help=f"no more than so many ({bound})")
    parser.add_argument(
        "--scan", type=positive_number, default=10_000, metavar="N", help="look at so many at most (default: 10000)"
    )
    parser.add_argument(
        "--wait",
        type=duration,
        default=2.0,
        metavar="TIME",
        help="stop looking when the broker hands over nothing for so long (default: 2s)",
    )


def _wanted(options: dict[str, Any]) -> Wanted:
    return Wanted(ids=tuple(options["id"] or ()), error=options["error"], older_than=options["older_than"])


def _reach(options: dict[str, Any], *, bodies: bool = False) -> Reach:
    return Reach(scan=options["scan"], limit=options["limit"], quiet=options["wait"], bodies=bodies)


def _list(options: dict[str, Any], out: Output) -> int:
    """Print the letters. Exit code 2 when there is one that fits."""
    with Drawer(options["queue"]) as drawer:
        letters = drawer.look(_wanted(options), _reach(options))
        _warn_of_limit(letters, out)
    for letter in letters:
        _print_letter(letter, out)
    if letters:
        out.line()
    more = " There may be more: see --limit and --scan." if drawer.more else ""
    out.line(f"{drawer.name}: {plural(len(letters), 'dead letter')} of {drawer.looked_at:,} looked at.{more}")
    document = {"queue": drawer.worker_queue, "looked_at": drawer.looked_at, "more": drawer.more}
    out.document({**document, "letters": [_as_document(letter) for letter in letters]})
    return NEEDS_ATTENTION if letters else FINE


def _replay(options: dict[str, Any], out: Output) -> int:
    """Send letters again, each removed when the broker has confirmed it. Exit code 2 when some could not be sent."""
    replayed, failures = 0, []
    with Drawer(options["queue"]) as drawer:
        letters = drawer.look(_wanted(options), _reach(options, bodies=True))
        if letters and not options["dry_run"]:
            replay = Replay(drawer)
            for step in out.progress(replay.run(letters), len(letters), "dead letters"):
                replayed += step
            failures = replay.failures
    if options["dry_run"]:
        out.line(f"{drawer.name}: {plural(len(letters), 'dead letter')} would be sent again. Nothing was changed.")
    else:
        out.line(f"{drawer.name}: {plural(replayed, 'dead letter')} of {len(letters):,} that fit sent again.")
    for letter, why in failures:
        out.warn(f"{letter.message_id or 'A letter without id'} stays: {why}")
    out.document(
        {
            **_about(drawer, letters, options),
            "replayed": replayed,
            "failures": [{"id": letter.message_id, "reason": why} for letter, why in failures],
        }
    )
    return NEEDS_ATTENTION if failures else FINE


def _purge(options: dict[str, Any], out: Output) -> int:
    """Remove letters after asking. Exit code 1 when the answer was no."""
    removed = 0
    with Drawer(options["queue"]) as drawer:
        letters = drawer.look(_wanted(options), _reach(options))
        if letters and not options["dry_run"]:
            if not options["yes"]:
                _require_consent(drawer, letters, out)
            removed = sum(out.progress(_remove(drawer, letters), len(letters), "dead letters"))
    if options["dry_run"]:
        out.line(f"{drawer.name}: {plural(len(letters), 'dead letter')} would be removed. Nothing was changed.")
    else:
        out.line(f"{drawer.name}: {plural(removed, 'dead letter')} of {len(letters):,} that fit removed.")
    out.document({**_about(drawer, letters, options), "removed": removed})
    return FINE


def _require_consent(drawer: Drawer, letters: list[DeadLetter], out: Output) -> None:
    if not out.confirm(f"Remove {plural(len(letters), 'dead letter')} from {drawer.name} for good?"):
        raise CommandError(
            "Nothing was removed. Answer y, or give --yes to not be asked; --dry-run only counts.",
            returncode=WRONG_USAGE,
        )


def _remove(drawer: Drawer, letters: list[DeadLetter]) -> Iterator[int]:
    for letter in letters:
        drawer.remove(letter)
        yield 1


def _warn_of_limit(letters: list[DeadLetter], out: Output) -> None:
    often = max((letter.returned for letter in letters), default=0)
    if often >= _OFTEN_RETURNED:
        out.warn(
            f"A letter here was looked at {often} times. RabbitMQ drops messages of a quorum queue that come back too "
            "often (20 times by default since 4.0): replay or remove them, or raise the queue's delivery limit."
        )


def _print_letter(letter: DeadLetter, out: Output) -> None:
    facts = [
        f"{age(letter.failed_at)} old" if letter.failed_at else "",
        f"failed {letter.attempts:,} times" if letter.attempts else "",
        f"from {letter.destination}" if letter.destination else "",
    ]
    out.line(f"{letter.message_id or '(no id)'}  {', '.join(filter(None, facts))}".rstrip())
    if letter.error:
        out.line(f"  {shorten(' '.join(letter.error.split()), WIDTH - 2)}")


def _as_document(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.message_id,
        "failed_at": letter.failed_at,
        "error": letter.error,
        "attempts": letter.attempts,
        "destination": letter.destination or None,
    }


def _about(drawer: Drawer, letters: list[DeadLetter], options: dict[str, Any]) -> dict[str, Any]:
    return {
        "queue": drawer.worker_queue,
        "looked_at": drawer.looked_at,
        "more": drawer.more,
        "matched": len(letters),
        "dry_run": options["dry_run"],
    }
