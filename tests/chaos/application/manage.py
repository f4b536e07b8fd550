"""The application of the fault ledger; it knows the library by its old import name only, so the peer can run it too."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    # A run that does not end well asks what each thread is doing.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    execute_from_command_line(sys.argv)
