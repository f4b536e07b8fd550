"""What the brokers written in Java share: the program, and how much memory they may take."""

from __future__ import annotations

from tests.rig.process import find_program

# A JVM takes a quarter of the machine unless it is told; and a collector with one thread starts fastest.
MEMORY = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def java() -> str:
    """The `java` program; raises MissingProgramError."""
    return str(find_program("java", package="default-jre-headless"))
