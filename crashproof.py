"""The console scripts, and the check that our package names are really ours.

Two of them exist on PyPI as well: `evaluate` is Hugging Face's metrics library, `supervisor` is supervisord. This
file has a name of its own, so it runs whoever wins the others, and can say what is wrong instead of failing
with somebody else's ImportError.
"""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

__all__ = ["checkpoints", "evaluate", "supervise"]

_HOME = Path(__file__).resolve().parent
_NAMESAKES = {"evaluate": "evaluate", "supervisor": "supervisor"}  # our package -> the distribution that has it too
EXIT_CONFIGURATION = 78


def supervise() -> None:
    """`supervise`: run a command, and bring it back when it crashes."""
    require_own("supervisor")
    from supervisor.cli import main

    main()


def evaluate() -> None:
    """`python -m evaluate`: evaluate a model, losing nothing."""
    require_own("evaluate", "checkpoints")
    from evaluate.cli import app

    app(prog_name="python -m evaluate")


def checkpoints() -> None:
    """`checkpoints`: look at runs."""
    require_own("checkpoints")
    from checkpoints.cli import app

    app(prog_name="python -m checkpoints")


def require_own(*packages: str) -> None:
    """Exit with 78 and the remedy when one of these names would import another project's package."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what this terminal cannot show must not end a run
    for problem in shadowed(packages):
        print(f"crashproof: {problem}", file=sys.stderr)
        sys.exit(EXIT_CONFIGURATION)


def shadowed(packages: tuple[str, ...], home: Path = _HOME) -> Iterator[str]:
    """Describe each package that is not the one lying beside this file in `home`."""
    remedy = "install crashproof in a virtual environment of its own; `supervise` can still run the Python of another"
    for name in packages:
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin != home / name / "__init__.py":
            yield f"the name {name!r} leads to {origin or 'nothing'} instead of {home / name}: rename that, or {remedy}"
        elif (other := _overwriting(name, origin)) is not None:
            yield f"{other} is installed over the same files, {origin.parent}, and both are damaged: {remedy}"


def _overwriting(name: str, origin: Path) -> str | None:
    """The distribution of the same name that put its files where ours lie; each overwrites the other's."""
    try:
        other = metadata.distribution(_NAMESAKES[name])
    except (KeyError, metadata.PackageNotFoundError):
        return None
    theirs = Path(str(other.locate_file(f"{name}/__init__.py"))).resolve()
    return f"the package {other.metadata['Name']} {other.version}" if theirs == origin else None
