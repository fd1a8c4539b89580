#!/usr/bin/env bash
# A seed sweep: one supervised evaluation per seed, then a table. Run it again to go on: finished seeds are skipped.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: run_batch.sh --task TASK [options] [-- more options for `python -m evaluate`]

  --task TASK             what to evaluate
  --model MODEL           a folder or a hub id (default: the evaluator's)
  --seed-from N           first seed (default 42)
  --seed-to N             last seed (default 46)
  --max-retries N         restarts without progress, per seed (default 10)
  --retry-delay SECONDS   base of the backoff (default: the supervisor's)
  --checkpoint-dir DIR    where runs are kept (default ./checkpoints)
  --log-dir DIR           journals, raw logs and results (default ./logs)
  --run-name NAME         runs are called NAME-seed42, ... (default: TASK and MODEL)
  --disable-checkpoint    keep nothing: a crash loses the seed it hits

Option names may be written with underscores. Set PYTHON to use another interpreter.
Exit code: 0 when every seed has finished, 1 when one has failed, 2 for wrong options, 75 when asked to stop
(SIGTERM), 130 for Ctrl-C.
USAGE
}

fail() {
    printf 'run_batch.sh: %s\n' "$1" >&2
    exit 2
}

task='' model='' seed_from=42 seed_to=46 max_retries=10 retry_delay='' run_name=''
checkpoint_dir=./checkpoints log_dir=./logs disable_checkpoint=''

while (($#)); do
    option=${1//_/-}
    value=''
    case $1 in --*=*) option=${1%%=*} option=${option//_/-} value=${1#*=} ;; esac
    case $option in
        -h | --help) usage; exit 0 ;;
        --) shift; break ;;
        --disable-checkpoint) disable_checkpoint=yes; shift; continue ;;
    esac
    case $option in
        --task | --model | --seed-from | --seed-to | --max-retries | --retry-delay | --checkpoint-dir | --log-dir | --run-name) ;;
        *) fail "there is no option $1; options for the evaluator go after --" ;;
    esac
    if [[ $1 == --*=* ]]; then
        shift
    else
        (($# >= 2)) || fail "$1 needs a value"
        value=$2
        shift 2
    fi
    name=${option#--}
    printf -v "${name//-/_}" '%s' "$value"
done

[[ -n $task ]] || fail 'name the task: --task gsm8k'
[[ $seed_from =~ ^[0-9]+$ && $seed_to =~ ^[0-9]+$ ]] || fail 'seeds are whole numbers'
((10#$seed_from <= 10#$seed_to)) || fail "--seed-from $seed_from is beyond --seed-to $seed_to"

python=${PYTHON:-python}
if [[ -z $run_name ]]; then
    run_name=$task
    [[ -z $model ]] || run_name+=-$(basename "$model")
fi
"$python" -m supervisor --help >/dev/null 2>&1 ||
    fail "crashproof is not installed for $python: activate its virtual environment, or set PYTHON"
mkdir -p "$log_dir"

results=() failed=()
for ((seed = 10#$seed_from; seed <= 10#$seed_to; seed++)); do
    name=$run_name-seed$seed
    result=$log_dir/$name.json
    command=("$python" -m evaluate --task "$task" --seed "$seed" --output-path "$result")
    [[ -z $model ]] || command+=(--model "$model")
    if [[ -n $disable_checkpoint ]]; then
        command+=(--disable-checkpoint)
    else
        command+=(--checkpoint-dir "$checkpoint_dir" --run-name "$name")
    fi
    supervise=("$python" -m supervisor --max-retries "$max_retries" --log-dir "$log_dir" --name "$name")
    [[ -z $retry_delay ]] || supervise+=(--retry-delay "$retry_delay")

    printf '\n=== seed %d (%s)\n' "$seed" "$name"
    # A finished seed costs a few seconds: the evaluator finds its run complete and loads no model. Asking it,
    # not the file system, means that a run made with other settings is refused and never taken for this one.
    code=0
    "${supervise[@]}" -- "${command[@]}" "$@" || code=$?
    case $code in
        0 | 3) results+=("$result") ;;
        75) printf 'run_batch.sh: asked to stop; run the same command again to go on\n' >&2; exit 75 ;;
        130) printf 'run_batch.sh: stopped; run the same command again to go on\n' >&2; exit 130 ;;
        *) failed+=("$seed (exit code $code)") ;;
    esac
done

printf '\n=== %s\n' "$run_name"
# Only what has finished now: what an earlier sweep left must not stand in for a seed that failed in this one.
if ((${#results[@]})); then "$python" -m evaluate.sweep "${results[@]}"; fi
if ((${#failed[@]})); then
    printf 'failed: seed %s\n' "${failed[@]}" >&2
    exit 1
fi
