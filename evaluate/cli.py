"""The command line of `python -m evaluate`."""

from __future__ import annotations

import math
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evaluate.config import DEFAULT_MODEL, EvaluateConfig
from evaluate.exitcodes import ExitCode

if TYPE_CHECKING:
    from checkpoints import Durability, Retention

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),  # --num_fewshot is --num-fewshot
    },
)


@app.command()
def evaluate(
    task: Annotated[str, typer.Option("--task", "-t", help="gsm8k, or gsm-mini, which is built in.")],
    model: Annotated[str, typer.Option(help="A folder or a hub id.")] = DEFAULT_MODEL,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The task's rows as JSONL, instead of the hub's.")
    ] = None,
    fewshot_data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Rows for the examples; train.jsonl beside --data if not given."),
    ] = None,
    limit: Annotated[
        float | None, typer.Option("--limit", "-L", help="Only the first N samples; below 1: this share of them.")
    ] = None,
    num_fewshot: Annotated[
        int | None,
        typer.Option("--num-fewshot", "-f", min=0, help="Examples per prompt; the task's own number if not given."),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1, help="Samples generated together.")] = 8,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Length of a response; the task's own number if not given.")
    ] = None,
    apply_chat_template: Annotated[
        bool, typer.Option("--apply-chat-template", help="Ask in the model's chat format.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Chooses the examples of each prompt.")] = 42,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; auto takes a GPU if there is one.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16; auto is float32 on a CPU.")] = "auto",
    checkpoint_dir: Annotated[Path, typer.Option(metavar="DIR", help="Runs are kept in DIR/RUN-NAME/.")] = Path(
        "checkpoints"
    ),
    run_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Made of task, model, limit and seed if not given.")
    ] = None,
    disable_checkpoint: Annotated[
        bool, typer.Option("--disable-checkpoint", help="Keep nothing: a crash loses everything.")
    ] = False,
    checkpoint_interval: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Sync after so many samples (64).")
    ] = None,
    checkpoint_seconds: Annotated[
        float | None, typer.Option(metavar="S", help="Sync when a sample has waited so long (1).")
    ] = None,
    save_incremental: Annotated[
        bool, typer.Option("--save-incremental", help="Sync every sample: not even a power failure loses one.")
    ] = False,
    resume_from: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Resume this run: its folder, or its checkpoint.json.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over; the old run is kept under another name.")
    ] = False,
    keep_reports: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Keep only the last N crash reports of the run.")
    ] = None,
    compress_finished: Annotated[
        bool, typer.Option("--compress-finished", help="Compress the results when the run is complete.")
    ] = False,
    output_path: Annotated[
        Path | None,
        typer.Option(
            "--output-path", "-o", metavar="FILE", dir_okay=False, help="Write the final numbers there, as JSON."
        ),
    ] = None,
    print_input: Annotated[bool, typer.Option("--print-input", help="Print every prompt.")] = False,
    print_response: Annotated[bool, typer.Option("--print-response", help="Print every response.")] = False,
) -> None:
    """Evaluate a language model, one durable record per sample. Run it again to go on where it stopped.

    Exit codes: 0 complete, 1 a download broke off, 2 wrong options, 3 complete with samples that have no score,
    73 another process writes this run, 74 I/O error, 75 stopped by a signal, 78 cannot work like this, 130 Ctrl-C.
    """
    directory, name = _checked_place(checkpoint_dir, _checked_name(run_name), resume_from)
    config = EvaluateConfig(
        task=task,
        model=model,
        data=data,
        fewshot_data=fewshot_data,
        limit=_checked_limit(limit),
        num_fewshot=num_fewshot,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        apply_chat_template=apply_chat_template,
        seed=seed,
        device=device,
        dtype=_checked_dtype(dtype),
        checkpoint_dir=directory,
        run_name=name,
        disable_checkpoint=disable_checkpoint,
        durability=_checked_durability(checkpoint_interval, checkpoint_seconds, save_incremental),
        retention=_retention(keep_reports, compress_finished),
        restart=restart,
        output_path=output_path,
        print_input=print_input,
        print_response=print_response,
    )
    raise typer.Exit(int(_run(config)))


def _run(config: EvaluateConfig) -> ExitCode:
    """Translate errors, here and nowhere else, into one sentence and an exit code."""
    from checkpoints import CheckpointError
    from evaluate.declare import declare
    from evaluate.errors import EvaluateError, Interrupted
    from evaluate.session import evaluate as evaluate_session

    try:
        return evaluate_session(config)
    except KeyboardInterrupt:
        return _fail(ExitCode.INTERRUPTED, "stopped by SIGINT; run the same command again to go on")
    except Interrupted as error:
        return _fail(_exit_code(error), str(error))
    except (CheckpointError, EvaluateError) as error:
        declare(error, os.environ)
        return _fail(_exit_code(error), str(error))
    except Exception as error:
        declare(error, os.environ)
        raise


def _exit_code(error: BaseException) -> ExitCode:
    from checkpoints import RunLocked, StorageFailed
    from evaluate.errors import FetchFailed, Interrupted

    if isinstance(error, Interrupted):
        return ExitCode.INTERRUPTED if error.signal_number == signal.SIGINT else ExitCode.REQUEUE
    if isinstance(error, RunLocked):
        return ExitCode.LOCK_HELD
    if isinstance(error, StorageFailed):
        return ExitCode.STORAGE
    return ExitCode.FAILED if isinstance(error, FetchFailed) else ExitCode.CONFIGURATION


def _fail(code: ExitCode, text: str) -> ExitCode:
    print(f"evaluate: {text}", file=sys.stderr, flush=True)
    return code


def _checked_limit(limit: float | None) -> float | None:
    if limit is not None and (not math.isfinite(limit) or limit <= 0 or (limit > 1 and limit != int(limit))):
        raise typer.BadParameter(f"{limit:g} is neither a number of samples nor a share below 1", param_hint="--limit")
    return limit


def _checked_durability(records: int | None, seconds: float | None, every_sample: bool) -> Durability:
    from checkpoints import Durability

    if every_sample:
        if records is not None or seconds is not None:
            raise typer.BadParameter("syncs every sample: leave the interval out", param_hint="--save-incremental")
        return Durability.strict()
    try:
        return Durability.group(64 if records is None else records, 1.0 if seconds is None else seconds)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--checkpoint-seconds") from None


def _retention(keep_reports: int | None, compress_finished: bool) -> Retention:
    from checkpoints import Retention

    return Retention(keep_reports, compress_finished)


def _checked_place(directory: Path, name: str | None, resume_from: Path | None) -> tuple[Path, str | None]:
    if resume_from is None:
        return directory, name
    from checkpoints import CheckpointManager, RunNotFound

    if name is not None:
        raise typer.BadParameter("names the run already: leave --run-name out", param_hint="--resume-from")
    try:
        root = CheckpointManager.resume_from(resume_from).layout.root
    except RunNotFound as error:
        raise typer.BadParameter(str(error), param_hint="--resume-from") from None
    return root.parent, root.name


def _checked_dtype(dtype: str) -> str:
    from evaluate.models.device import DTYPES

    if dtype not in DTYPES:
        raise typer.BadParameter(f"{dtype!r} is not one of {', '.join(DTYPES)}", param_hint="--dtype")
    return dtype


def _checked_name(name: str | None) -> str | None:
    if name is not None and (not name or name in {".", ".."} or "/" in name or "\0" in name):
        raise typer.BadParameter(f"{name!r} must be a plain folder name", param_hint="--run-name")
    return name
