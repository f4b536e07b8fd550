"""The operator's errors.

    OperatorError
    ├── SettingsError          a setting from the environment is wrong
    └── KubeError              the API server did not do what was asked
        ├── UnreachableError   no answer, a server-side failure or "too many requests": try again later
        │   └── FailedError    the server-side failure 500; with an apply that may be the object's fault
        ├── DeniedError        not logged in, or the rights of the ServiceAccount do not suffice
        ├── ConflictError      somebody else was faster: look again
        ├── GoneError          what should be changed does not exist any more
        │   └── UnknownKindError   the API server does not know objects of this kind
        └── InvalidError       the object is refused; trying again does not help

No error of the client library leaves `kube`.
"""

from __future__ import annotations


class OperatorError(Exception):
    """Root of the operator's errors."""


class SettingsError(OperatorError):
    """A setting from the environment is wrong; the message names it and says what it must be."""


class KubeError(OperatorError):
    """The API server did not do what was asked."""


class UnreachableError(KubeError):
    """No answer, a server-side failure or too many requests."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds that the server asks to wait, if it does."""


class FailedError(UnreachableError):
    """The API server failed inside (500)."""


class DeniedError(KubeError):
    """Not logged in, or not allowed to."""


class ConflictError(KubeError):
    """The object has changed or is another one."""


class GoneError(KubeError):
    """The object does not exist any more."""


class UnknownKindError(GoneError):
    """The API server does not know the kind of object; its CustomResourceDefinition is not installed."""


class InvalidError(KubeError):
    """The object is refused; the message carries the API server's words."""
