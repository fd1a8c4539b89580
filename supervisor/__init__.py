"""Runs any command, and brings it back when it crashes: for the right reason, the right number of times.

>>> from supervisor import run_with_retry
>>> exit_code = run_with_retry(["python", "-m", "evaluate", "--task", "gsm8k"], max_retries=5, retry_delay=10)
"""

from supervisor.chaos import Chaos, Harm
from supervisor.exitcodes import ExitCode
from supervisor.failure import FailureKind
from supervisor.policy import Policy
from supervisor.pulse import Patience
from supervisor.run import run_with_retry

__all__ = ["Chaos", "ExitCode", "FailureKind", "Harm", "Patience", "Policy", "run_with_retry"]
