#!/usr/bin/env bash
# Runs the tests in two phases: first those that may share the machine, in several processes, then those
# that need it for themselves (marker alone), one after another. Both phases always run, what failed in either is
# listed at the end, and one that failed fails the whole. Arguments go to pytest; called by the Makefile.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

FAILURES=$(mktemp)
trap 'rm -f "$FAILURES"' EXIT

# One more than there are cores, since tests with ROS nodes wait most of their time; each takes up to 2 GB with its nodes.
workers=$(($(nproc) < 6 ? $(nproc) + 1 : 6))
status=0 ran=0 lines=()
for phase in parallel alone; do
    arguments=("--phase=$phase" "--failures=$FAILURES")  # with "=": not taken for paths of tests
    [[ $phase == alone ]] || arguments+=(-n "$workers" --dist loadfile --no-loadscope-reorder)
    started=$SECONDS code=0
    .venv/bin/python -m pytest "${arguments[@]}" "$@" || code=$?
    case $code in
        0) ran=1 ;;
        1) ran=1 status=1 ;;
        5) ;;                # the arguments name no test of this phase
        *) exit "$code" ;;   # interrupted, or the arguments are wrong: the other phase would end the same way
    esac
    lines+=("[test] phase $phase: $((SECONDS - started)) s, $( ((code == 1)) && echo FAILED || echo ok)")
done
printf '%s\n' "${lines[@]}"
[[ ! -s $FAILURES ]] || { echo "[test] failed:"; cat "$FAILURES"; }
command -v chromium chromium-browser google-chrome >/dev/null ||
    echo "[test] no Chromium here: the console's page was not tested in a browser (apt-get install chromium)"
((ran)) || { echo "[test] no test matches these arguments" >&2; exit 5; }
exit "$status"
