"""`python -m checkpoints export`."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import signal
import statistics
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from checkpoints import CheckpointManager, Record, Status
from checkpoints import export as exporting
from checkpoints.compress import compress
from checkpoints.export_lm_eval import write_lm_eval
from checkpoints.export_table import Kind, common, survey
from tests.checkpoints.support import lines_of, python, start

# As lm_eval 0.4.13 writes them: lm_eval/result_schema.py, evaluator.py, evaluator_utils.py, evaluation_tracker.py.
LM_EVAL_RESULTS = {
    "results", "groups", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "samples",
    "config", "git_hash", "date", "pretty_env_info", "transformers_version", "lm_eval_version", "upper_git_hash",
    "tokenizer_pad_token", "tokenizer_eos_token", "tokenizer_bos_token", "eot_token_id", "max_length", "model_source",
    "model_name", "model_name_sanitized", "system_instruction", "system_instruction_sha", "fewshot_as_multiturn",
    "chat_template", "chat_template_sha", "task_hashes", "total_evaluation_time_seconds",
}  # fmt: skip
LM_EVAL_CONFIG = {
    "model", "model_args", "model_num_parameters", "model_dtype", "model_revision", "model_sha", "batch_size",
    "batch_sizes", "device", "use_cache", "limit", "bootstrap_iters", "gen_kwargs", "random_seed", "numpy_seed",
    "torch_seed", "fewshot_seed",
}  # fmt: skip
LM_EVAL_SAMPLE = {
    "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash",
    "target_hash",
}  # fmt: skip
ALWAYS_READ_BY_LM_EVALS_LOGGERS = {"results", "configs", "versions", "n-shot", "n-samples", "config", "model_name"}

LIVE = """
import sys
from checkpoints import CheckpointManager, Record
with CheckpointManager(sys.argv[1], "r").open(total_samples=10**9) as run:
    for idx in range(10**9):
        run.record(Record(idx, extra={"n": {str(idx % 50): "x" * 200}}))
        if idx == 500:
            print("writing", flush=True)
"""


def export(run: Path, *options: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "checkpoints", "export", run, *options, cwd=cwd)


def exported(run: Path, to: str, path: Path, *options: str) -> Path:
    done = export(run, "--to", to, "-o", path, *options, cwd=path.parent)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return path


def a_run(directory: Path) -> CheckpointManager:
    """Five scored samples and one that errored, out of order, with everything that makes a table difficult."""
    manager = CheckpointManager(directory / "runs", "r")
    identity = {
        "task": {"name": "gsm8k", "version": "3.0"},
        "settings": {"num_fewshot": 5, "stops": ["Q:"], "max_new_tokens": 9, "batch_size": 2, "seed": 7},
        "model": {"dtype": "float32", "device": "cpu"},
    }
    with manager.open(total_samples=6, identity=identity, provenance={"model": "org/m", "limit": 6}) as run:
        for idx in (3, 1, 0, 2, 5):
            right = idx % 2 == 1
            run.record(
                Record(
                    idx,
                    f"s{idx}",
                    ground_truth=idx,
                    model_answer=[None, 1.5, 2, 3, 4, 2**70][idx],
                    is_correct=right,
                    scores={"numeric": float(right), "strict-match": float(idx > 2)},
                    extra={
                        "response": 'a,\r\n"b" \x00 é \ud800' if idx == 1 else "7\rx",
                        "filtered": {"strict-match": str(idx)},
                        "mixed": idx if right else "text",
                        "nested": {"deep": {"er": [1, None]}},
                        "half": 0.5 if right else 2,
                    },
                )
            )
        run.record(Record(4, status=Status.ERROR_TIMEOUT, extra={"error": {"type": "T", "message": "m"}}))
    return manager


def without_crc(manager: CheckpointManager) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in lines_of(manager)]
    return [{name: value for name, value in row.items() if name != "crc"} for row in rows]


def test_jsonl_is_the_log_without_its_checksums(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    rows = [json.loads(line) for line in exported(run.layout.root, "jsonl", tmp_path / "o").read_text().splitlines()]
    assert rows == without_crc(run)
    assert [[*row] for row in rows] == [[*row] for row in without_crc(run)]
    sorted_rows = [json.loads(line) for line in exported(run.layout.root, "jsonl", tmp_path / "s", "--sort").open()]
    assert sorted_rows == sorted(without_crc(run), key=lambda row: row["idx"])


def test_sorting_spills_to_files_and_gives_the_same(tmp_path: Path) -> None:
    idxs = random.Random(1).sample(range(1_000), 1_000)
    records = [Record(idx, extra={"text": "x" * 100}) for idx in idxs]
    assert [record.idx for record in exporting.by_idx(iter(records), tmp_path, chunk_bytes=4_000)] == sorted(idxs)
    assert list(tmp_path.iterdir()) == []


def test_csv_comes_back_cell_by_cell(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    path = exported(run.layout.root, "csv", tmp_path / "o.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "idx", "sample_id", "status", "ground_truth", "model_answer", "is_correct", "scores.numeric",
        "scores.strict-match", "timestamp", "attempt", "response", "filtered.strict-match", "mixed", "nested.deep",
        "half", "error.type", "error.message",
    ]  # fmt: skip
    assert len(rows) == 6
    for row, original in zip(rows, without_crc(run), strict=True):
        assert int(row["idx"]) == original["idx"]
        assert float(row["timestamp"]) == original["timestamp"]
        assert row["response"] == original.get("response", "").replace("\ud800", "\\ud800")
        assert row["scores.numeric"] == ("" if original["idx"] == 4 else str(original["scores"]["numeric"]))
        assert row["error.type"] == ("T" if original["idx"] == 4 else "")
        assert row["model_answer"] in {"", str(original["model_answer"])}
        if original["idx"] != 4:
            assert json.loads(row["nested.deep"]) == {"er": [1, None]}


def test_parquet_has_typed_columns_and_json_for_what_is_mixed(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    table = pq.read_table(exported(run.layout.root, "parquet", tmp_path / "o.parquet", "--sort"))
    kinds = {field.name: str(field.type) for field in table.schema}
    assert (kinds["idx"], kinds["timestamp"], kinds["is_correct"], kinds["half"]) == (
        "int64",
        "double",
        "bool",
        "double",
    )
    assert {name for name in kinds if table.schema.field(name).metadata} == {"mixed", "nested.deep", "model_answer"}
    rows = table.to_pylist()
    originals = sorted(without_crc(run), key=lambda row: row["idx"])
    assert [row["idx"] for row in rows] == list(range(6))
    assert [row["mixed"] and json.loads(row["mixed"]) for row in rows] == [each.get("mixed") for each in originals]
    answers = [row["model_answer"] and json.loads(row["model_answer"]) for row in rows]
    assert answers == [each["model_answer"] for each in originals]
    assert [row["half"] for row in rows] == [each.get("half") for each in originals]
    assert rows[4]["scores.numeric"] is None


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (set(), Kind.TEXT),
        ({Kind.INTEGER}, Kind.INTEGER),
        ({Kind.INTEGER, Kind.NUMBER}, Kind.NUMBER),
        ({Kind.INTEGER, Kind.LONG}, Kind.LONG),
        ({Kind.NUMBER, Kind.LONG}, Kind.JSON),
        ({Kind.BOOLEAN, Kind.INTEGER}, Kind.JSON),
        ({Kind.TEXT, Kind.INTEGER}, Kind.JSON),
    ],
)
def test_a_column_holds_all_of_its_kinds_without_loss(kinds: set[Kind], expected: Kind) -> None:
    assert common(kinds) is expected


def test_an_object_with_too_many_keys_stays_one_column_and_names_never_collide(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, "r")
    with manager.open() as run:
        for idx in range(300):
            run.record(Record(idx, extra={"by_word": {f"w{idx}": 1}, "a.b": 1, "a": {"b": 2}}))
    table = survey(exporting.Source.of(manager))
    names = [column.name for column in table.columns]
    assert [name for name in names if name.startswith(("by_word", "a.b"))] == ["a.b", "a.b (2)", "by_word"]
    path = exported(manager.layout.root, "csv", tmp_path / "o.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert json.loads(rows[7]["by_word"]) == {"w7": 1}
    assert (rows[0]["a.b"], rows[0]["a.b (2)"]) == ("1", "2")


def read_lm_eval(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    (results,), (samples,) = folder.rglob("results_*.json"), folder.rglob("samples_*.jsonl")
    return json.loads(results.read_text()), [json.loads(line) for line in samples.open()], [results.name, samples.name]


def test_lm_eval_files_have_only_lm_evals_keys(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    results, samples, names = read_lm_eval(exported(run.layout.root, "lm-eval", tmp_path / "o"))
    assert set(results) <= LM_EVAL_RESULTS
    assert set(results) >= ALWAYS_READ_BY_LM_EVALS_LOGGERS
    assert set(results["config"]) <= LM_EVAL_CONFIG
    for sample in samples:
        assert set(sample) == LM_EVAL_SAMPLE | set(sample["metrics"])
    assert results["model_name"] == "org/m"
    assert (tmp_path / "o" / "org__m" / names[0]).is_file()
    # As lm-eval's get_file_task_name() and get_file_datetime() take them apart.
    assert names[1][names[1].find("_") + 1 : names[1].rfind("_")] == "gsm8k"
    assert names[0].removeprefix("results_")[:-5] == names[1].rpartition("_")[2][:-6]


def test_lm_eval_metrics_are_means_of_the_scored_samples(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    results, samples, _ = read_lm_eval(exported(run.layout.root, "lm-eval", tmp_path / "o"))
    task = results["results"]["gsm8k"]
    strict = [1.0, 0.0, 0.0, 0.0, 1.0]
    assert task["exact_match,strict-match"] == pytest.approx(statistics.mean(strict))
    # mean_stderr() of lm_eval/api/metrics.py
    assert task["exact_match_stderr,strict-match"] == pytest.approx(statistics.stdev(strict) / 5**0.5)
    assert task["numeric,none"] == pytest.approx(run.get_statistics().scores["numeric"])
    assert results["n-samples"] == {"gsm8k": {"original": 6, "effective": 5}}
    assert (results["versions"], results["n-shot"]) == ({"gsm8k": "3.0"}, {"gsm8k": 5})
    by_filter = {name: [each for each in samples if each["filter"] == name] for name in ("none", "strict-match")}
    assert [each["doc_id"] for each in by_filter["strict-match"]] == list(range(6))
    assert by_filter["strict-match"][3]["filtered_resps"] == ["3"]
    assert by_filter["strict-match"][3]["target_hash"] == hashlib.sha256(b"3").hexdigest()
    assert by_filter["none"][2]["resps"] == [["7\rx"]]
    errored = by_filter["none"][4]
    assert (errored["metrics"], errored["resps"], errored["doc"]) == ([], [], None)


def test_lm_eval_of_a_run_without_scores_has_its_accuracy(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, "plain")
    with manager.open(total_samples=1) as run:
        run.record(Record(0, model_answer=5, is_correct=True))
    write_lm_eval(exporting.Source.of(manager), tmp_path / "o", force=False)
    results, samples, _ = read_lm_eval(tmp_path / "o")
    task = results["results"]["plain"]
    assert (task["acc,none"], task["acc_stderr,none"], results["model_name"]) == (1.0, "N/A", None)
    assert (samples[0]["filtered_resps"], samples[0]["resps"], samples[0]["target"]) == (["5"], None, None)


def test_a_compressed_run_exports_as_before(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    before = {to: exported(run.layout.root, to, tmp_path / f"a.{to}").read_bytes() for to in ("jsonl", "csv")}
    compress(run.layout)
    assert not run.layout.results.exists()
    for to, data in before.items():
        assert exported(run.layout.root, to, tmp_path / f"b.{to}").read_bytes() == data


@pytest.mark.parametrize("to", ["jsonl", "csv", "parquet", "lm-eval"])
def test_a_live_run_exports_a_whole_state_of_it(tmp_path: Path, to: str) -> None:
    with start(LIVE, tmp_path / "runs") as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
            done = export(tmp_path / "runs" / "r", "--to", to, "-o", tmp_path / "o", cwd=tmp_path)
            assert writer.poll() is None
        finally:
            writer.kill()
    assert done.returncode == 0, done.stderr
    said = int(done.stderr.split()[1])
    assert said >= 500
    if to == "jsonl":
        idxs = [json.loads(line)["idx"] for line in (tmp_path / "o").open()]
    elif to == "csv":
        with (tmp_path / "o").open(newline="") as file:
            idxs = [int(row["idx"]) for row in csv.DictReader(file)]
    elif to == "parquet":
        idxs = pq.read_table(tmp_path / "o").column("idx").to_pylist()
    else:
        idxs = [sample["doc_id"] for sample in read_lm_eval(tmp_path / "o")[1]]
    assert idxs == list(range(said))


def test_nothing_is_overwritten_unless_forced(tmp_path: Path) -> None:
    run = a_run(tmp_path).layout.root
    for to in ("jsonl", "csv", "parquet"):
        path = tmp_path / f"o.{to}"
        path.write_text("mine")
        done = export(run, "--to", to, "-o", path, cwd=tmp_path)
        assert (done.returncode, path.read_text()) == (1, "mine")
        assert done.stderr == (
            f"checkpoints: {path} exists already: add --force to replace it, or name another file with -o\n"
        )
        assert exported(run, to, path, "--force").read_bytes()[:4] != b"mine"
    exported(run, "lm-eval", tmp_path / "lm")
    again = export(run, "--to", "lm-eval", "-o", tmp_path / "lm", cwd=tmp_path)
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    exported(run, "lm-eval", tmp_path / "lm", "--force")


def test_places_that_are_no_place_for_an_export_are_refused_in_one_line(tmp_path: Path) -> None:
    run = a_run(tmp_path).layout.root
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    places: list[tuple[list[str | Path], int, str]] = [
        (["-o", run / "results.jsonl", "--force"], 1, "inside the folder of a run"),
        (["--to", "lm-eval", "-o", run / "out"], 1, "inside the folder of a run"),
        (["-o", tmp_path], 1, "is a folder"),
        (["-o", tmp_path / "no" / "x"], 1, "there is no folder"),
        (["-o", "/dev/null", "--force"], 1, "not a plain file"),
        (["--to", "parquet", "-o", "-"], 2, "cannot be written to the standard output"),
        (["--to", "xml"], 2, "xml"),
    ]
    for options, code, text in places:
        done = export(run, *options, cwd=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
        assert text in done.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    done = export(tmp_path / "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, f"checkpoints: there is no run at {tmp_path / 'nowhere'}\n")


def test_the_standard_output_takes_jsonl_and_the_file_is_named_after_the_run(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    piped = export(run.layout.checkpoint, "-o", "-", cwd=tmp_path)
    assert [json.loads(line) for line in piped.stdout.splitlines()] == without_crc(run)
    assert export(run.layout.root, "--to", "csv", cwd=tmp_path).returncode == 0
    assert (tmp_path / "r.csv").is_file()


@pytest.mark.parametrize("to", ["jsonl", "csv", "parquet", "lm-eval"])
def test_damage_ends_the_export_with_one_sentence_and_no_file(tmp_path: Path, to: str) -> None:
    run = a_run(tmp_path)
    run.layout.results.write_bytes(run.layout.results.read_bytes().replace(b'"s3"', b'"S3"'))
    done = export(run.layout.root, "--to", to, "-o", tmp_path / "o", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(("checkpoints: ", str(tmp_path)))
    assert len(done.stderr.splitlines()) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "runs" not in path.parts] == []


KILLED = """
import os, signal, sys
from checkpoints import CheckpointManager, export as exporting
from pathlib import Path
source = exporting.Source.of(CheckpointManager(sys.argv[1], "r"))
def write(file):
    exporting.write_jsonl(source, file)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
exporting.place(Path(sys.argv[2]), write, force=True)
"""


def test_a_killed_export_leaves_the_old_file(tmp_path: Path) -> None:
    a_run(tmp_path)
    target = tmp_path / "o"
    assert python(tmp_path / "runs", target, code=KILLED).returncode == -signal.SIGKILL
    assert not target.exists()
    target.write_text("old")
    assert python(tmp_path / "runs", target, code=KILLED).returncode == -signal.SIGKILL
    assert target.read_text() == "old"


def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, "r")
    with manager.open() as run:
        for start_idx in range(0, 6_000, 500):
            run.record(*[Record(idx, extra={"text": "x" * 2_000}) for idx in range(start_idx, start_idx + 500)])
    source = exporting.Source.of(manager)
    tracemalloc.start()
    with (tmp_path / "o").open("wb") as file:
        exporting.write_jsonl(source, file)
    assert sum(1 for _ in exporting.by_idx(source.records(), tmp_path, chunk_bytes=1 << 20)) == 6_000
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert manager.layout.results.stat().st_size > 12_000_000
    assert (tmp_path / "o").stat().st_size > 12_000_000
    assert peak_bytes < 6_000_000
