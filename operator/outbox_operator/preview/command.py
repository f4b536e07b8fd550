"""Read, plan, print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kubernetes.aio.client.api_client import ApiClient

from outbox_operator.errors import OperatorError
from outbox_operator.kube import load_configuration
from outbox_operator.preview.documents import read_documents
from outbox_operator.preview.offline import ours, plan_offline
from outbox_operator.preview.online import Rehearsal, plan_all, plan_documents
from outbox_operator.preview.outlook import NOTHING_CHANGES, Outlook, as_json, as_objects, as_text, exit_code

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from outbox_operator.preview.documents import Document


class UsageError(OperatorError):
    """The options do not go together."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `plan`."""
    parser.add_argument("-f", "--filename", action="append", default=[], metavar="PATH", help="file, folder, or - ")
    parser.add_argument("--cluster", action="store_true", help="compare with the cluster of the kubeconfig")
    parser.add_argument("--all", action="store_true", help="the resources that are in the cluster, before an upgrade")
    parser.add_argument(
        "-n", "--namespace", default="", help="namespace of objects that name none; with --all: only it"
    )
    parser.add_argument("-o", "--output", choices=("text", "yaml", "json"), help="yaml offline, text with a cluster")
    parser.add_argument("--host-access", action="store_true", help="plan as with hostAccess Allowed in the chart")


async def run_plan(options: argparse.Namespace) -> int:
    """Print what would be done and return the exit code.

    Raises:
        OperatorError: it cannot be found out.
    """
    if options.all == bool(options.filename):
        raise UsageError("plan needs either -f PATH or --all")
    documents = read_documents(options.filename)
    if not options.all and not ours(documents):
        raise UsageError("the files hold no Publisher and no Subscription of djangooutbox.io")
    online = options.cluster or options.all
    if online:
        outlooks = await _online(options, documents)
    else:
        outlooks = plan_offline(documents, options.namespace or "default", host_access=options.host_access)
    output = options.output or ("text" if online else "yaml")
    sys.stdout.write({"text": as_text, "yaml": as_objects, "json": as_json}[output](outlooks))
    if output == "yaml":
        _tell_problems(outlooks)
    return exit_code(outlooks) if outlooks else NOTHING_CHANGES


async def _online(options: argparse.Namespace, documents: Sequence[Document]) -> list[Outlook]:
    api = Rehearsal(ApiClient(await load_configuration()))
    try:
        if options.all:
            return await plan_all(api, options.namespace or None, host_access=options.host_access)
        return await plan_documents(api, documents, options.namespace or "default", host_access=options.host_access)
    finally:
        await api.close()


def _tell_problems(outlooks: Sequence[Outlook]) -> None:
    for outlook in outlooks:
        for words in (outlook.unknown, outlook.problem, *outlook.warnings):
            if words:
                sys.stderr.write(f"{outlook.subject}: {words}\n")
