"""What a user can get wrong, or the world can refuse, in one sentence each.

EvaluateError
├── ConfigurationError   options, data or model cannot work: trying again cannot help (exit 78)
│   └── HubUnreachable   the hub is needed and does not answer (exit 78)
└── FetchFailed          a download broke off: trying again may help (exit 1)

Interrupted, a BaseException like KeyboardInterrupt, says that a signal asked us to stop (exit 75 or 130).
"""

from __future__ import annotations

import signal


class EvaluateError(Exception):
    """Base of all errors that this package raises on purpose."""


class ConfigurationError(EvaluateError):
    """The evaluation cannot start like this. The text says what to do."""


class HubUnreachable(ConfigurationError):
    """Something has to come from the hub, and it does not answer."""

    def __init__(self, what: str, problem: str, remedy: str) -> None:
        super().__init__(f"{what} is not in the local cache, and {problem}. {remedy}")


class FetchFailed(EvaluateError):
    """The hub answered, and then failed. Run the same command again to go on."""


class Interrupted(BaseException):
    """Stop now; what is recorded stays recorded. Not an Exception: no library's `except Exception` may swallow it."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        name = signal.Signals(signal_number).name
        super().__init__(f"stopped by {name}; run the same command again to go on")
