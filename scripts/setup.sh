#!/usr/bin/env bash
# Makes everything that `make demo` and `make test` need, in .venv beside this checkout; called by the Makefile.
# Does only what is missing or has changed since the last run; wherever an earlier one was interrupted, this one goes on.
# PYTHON names the interpreter to use; without it that of .venv, or python3. TORCH is cuda or cpu; without it that of .venv,
# or cuda. TORCH_INDEX is an index with CPU-only wheels, beside those that pip is configured for. Logs to out/setup.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec 9<. && flock 9  # `make demo` and `make test` at the same time: the second one waits

WANTED=${PYTHON:-}
PYTHON=${PYTHON:-python3}
WANTED_TORCH=${TORCH:-}
VENV=.venv
STAMPS=$VENV/.lisa_ros
LOG=out/setup.log
INTERVAL=${SETUP_INTERVAL:-30}  # s between two lines about a step that takes long
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
# Set by the ROS wheels of another environment this may run under; python would load that one's libraries.
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE

say() { printf '[setup] %s\n' "$*"; }
fail() { printf '[setup] %s\n' "$*" >&2; exit 1; }

check_machine() {
    if [[ -n ${ROS_DISTRO:-} ]]; then
        fail "ROS '$ROS_DISTRO' is sourced. This set-up installs ROS wheels from PyPI, which must not be mixed with it." \
            "Use a shell without ROS, or build with colcon: docs/installation.md, section 'On a ROS 2 install'."
    fi
    command -v "$PYTHON" >/dev/null || fail "$PYTHON not found. Install Python 3.11 or newer, or: make PYTHON=/path/to/python"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$("$PYTHON" --version) is too old: torch needs 3.11 or newer. Name another one: make PYTHON=python3.12 ..."
    [[ -z $WANTED_TORCH || $WANTED_TORCH == cpu || $WANTED_TORCH == cuda ]] ||
        fail "TORCH=$WANTED_TORCH is unknown: give cpu for wheels without CUDA's libraries, or cuda."
    [[ $(uname -sm) == "Linux x86_64" ]] ||
        fail "$(uname -sm): PyPI has ROS wheels for Linux x86_64 only. Build on a ROS 2 install: docs/installation.md."
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

missing_system_packages() {
    # Debian has a set of packages for each interpreter; python3-venv belongs to its own python3 alone.
    local name=python3
    [[ $(version_of "$PYTHON") == "$(version_of /usr/bin/python3)" ]] || name=python$(version_of "$PYTHON")
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || echo "$name-venv"
    PACKAGE=$name-dev "$PYTHON" - <<'END'
import ctypes
import os
import sysconfig

if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    print(os.environ["PACKAGE"])
# open3d's renderer and camera drivers load these even where nothing is drawn
for package, library in {"libegl1": "libEGL.so.1", "libgl1": "libGL.so.1", "libx11-6": "libX11.so.6",
                         "libusb-1.0-0": "libusb-1.0.so.0", "libgomp1": "libgomp.so.1"}.items():
    try:
        ctypes.CDLL(library)
    except OSError:
        print(package)
END
    command -v g++ >/dev/null || echo g++
}

install_system_packages() {
    local packages
    mapfile -t packages < <(missing_system_packages)
    [[ ${#packages[@]} -eq 0 ]] && return
    local root=()
    if [[ $(id -u) -ne 0 ]]; then
        root=(sudo -n)
        command -v sudo >/dev/null && sudo -n true 2>/dev/null || root=(missing)
    fi
    if ! command -v apt-get >/dev/null || [[ ${root[0]:-} == missing ]]; then
        fail "Missing system packages; install them and run make again:" \
            "sudo apt-get update && sudo apt-get install ${packages[*]}"
    fi
    timed "apt-get install ${packages[*]}" apt_get "${packages[@]}"
    mapfile -t packages < <(missing_system_packages)
    [[ ${#packages[@]} -eq 0 ]] ||
        fail "$PYTHON still lacks what ${packages[*]} should bring: it is not this system's own. Install it whole, or name" \
            "another one: make PYTHON=/usr/bin/python3 ..."
}

apt_get() {
    "${root[@]}" apt-get update -qq &&
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# timed WORDS COMMAND...: runs a step of which people see its words, its time and, now and then, that it goes on; its
# output goes to the log, which is named where it fails.
timed() {
    local words=$1 started=$SECONDS status=0
    say "$words"
    mkdir -p out 2>/dev/null && : 2>/dev/null >>"$LOG" ||
        fail "$PWD/out cannot be written to by $(id -un 2>/dev/null || id -u). Clone to a folder of your own, or change its owner."
    printf '\n== %s\n' "$words" >>"$LOG"
    goes_on "$started" &
    WATCH=$!
    "${@:2}" >>"$LOG" 2>&1 || status=$?
    end_watch
    ((status == 0)) || fail "$(reason) The whole log: $PWD/$LOG"
    say "  done in $((SECONDS - started)) s"
}

goes_on() {
    exec 9<&- 8<> <(:)  # the lock ends with the script, not with this; and what is never written to is waited for
    until read -r -t "$INTERVAL" -u 8; do
        # What pip does last, without the addresses; it says nothing for minutes while it unpacks.
        local last
        last=$(grep -oE '^(Collecting|Downloading|Installing collected packages|Building|Preparing) ?[^ ;(,]*' "$LOG" | tail -n 1)
        say "  $((SECONDS - $1)) s, $(du -sm "$VENV" 2>/dev/null | cut -f1) MB in $VENV; ${last:-working}"
    done
}

WATCH=
end_watch() {
    [[ -z $WATCH ]] || kill "$WATCH" 2>/dev/null || true
    WATCH=
}
trap end_watch EXIT

# The log's own words about why the last step failed, in one line.
reason() {
    local last
    last=$(tac "$LOG" | sed '/^== /q' | tac)
    if grep -qE 'NewConnectionError|NameResolutionError|Temporary failure in name resolution|Network is unreachable|ConnectTimeout' <<<"$last"; then
        echo "No network: the package index cannot be reached. Connect this machine, or name an index or proxy that it" \
            "reaches (pip config set global.index-url URL, https_proxy), and run make again; it goes on where it was."
    elif grep -q 'No space left on device' <<<"$last"; then
        echo "The disk is full: installing takes up to $PEAK GB, pip's cache included. Make room and run make again."
    elif grep -qE 'No matching distribution found for torch(vision)?==.*\+cpu' <<<"$last"; then
        echo "No index that pip asks has torch $(pin_of torch) without CUDA. Name one: make TORCH=cpu" \
            "TORCH_INDEX=https://download.pytorch.org/whl/cpu ... (PyTorch's own), or leave TORCH=cpu out."
    else
        echo "Failed: $(grep -m 1 -iE 'error|^E:' <<<"$last" || tail -n 1 <<<"$last")"
    fi
}

# step NAME HASH COMMAND...: runs the command unless it has succeeded before with the same hash.
step() {
    local stamp=$STAMPS/$1 hash=$2
    [[ -f $stamp && $(<"$stamp") == "$hash" ]] && return
    rm -f "$stamp"  # what it stands for changes from here on
    "${@:3}"
    mkdir -p "$STAMPS"
    echo "$hash" >"$stamp"
}

hash_of() { cat "$@" | sha256sum | cut -d' ' -f1; }

make_environment() {
    local version there stamp=$STAMPS/environment
    [[ ! -L $VENV || -d $VENV ]] && [[ ! -e $VENV || -d $VENV ]] ||
        fail "$PWD/$VENV is no folder, or a link to nothing: remove it and run make again."
    version=$(version_of "$PYTHON")
    there=$(version_of "$VENV/bin/python" || true)
    if [[ -n $there && ! -f $stamp && -f $STAMPS/wheels ]]; then
        echo "$there" >"$stamp"  # of a release that did not write it; pip has worked there
    fi
    TORCH=$(cat "$STAMPS/torch" 2>/dev/null || echo cuda)
    if [[ -n $there && -f $stamp ]]; then
        if [[ -n $WANTED_TORCH && $WANTED_TORCH != "$TORCH" ]]; then
            say "$VENV has torch for $TORCH, and TORCH=$WANTED_TORCH: it is made anew"
        else
            [[ -z $WANTED || $there == "$version" ]] && return
            say "$VENV has Python $there, and PYTHON=$WANTED is $version: it is made anew"
        fi
    elif [[ -e $VENV ]]; then
        say "$VENV is unfinished: it is made anew"
    fi
    timed "virtual environment $VENV with Python $version" "$PYTHON" -m venv --clear "$VENV"
    mkdir -p "$STAMPS"
    TORCH=${WANTED_TORCH:-$TORCH}
    echo "$TORCH" >"$STAMPS/torch"
    echo "$version" >"$stamp"
}

PEAK=16  # GB on the disk at most: wheels in pip's cache, their copies while they are unpacked, and .venv
install_wheels() {
    local free arguments=()
    free=$(df -Pm . | awk 'NR == 2 { print int($4 / 1024) }')
    ((free >= PEAK)) || say "only $free GB of disk are free; installing may take up to $PEAK, pip's cache included"
    for file in "${REQUIREMENTS[@]}"; do arguments+=(-r "$file"); done
    if [[ $TORCH == cpu ]]; then  # the same versions, of builds that have this mark
        arguments+=("torch==$(pin_of torch)+cpu" "torchvision==$(pin_of torchvision)+cpu")
        [[ -z ${TORCH_INDEX:-} ]] || arguments+=(--extra-index-url "$TORCH_INDEX")
        timed "Python wheels, torch without CUDA: minutes the first time, 3 GB in $VENV" \
            pip_install "${arguments[@]}" -c "$CONSTRAINTS"
        return
    fi
    timed "Python wheels: minutes the first time, 9 GB in $VENV, up to $PEAK GB while installing" \
        pip_install "${arguments[@]}" -c "$CONSTRAINTS"
}

pin_of() { sed -nE "s/^$1==([^; ]+).*/\1/p" requirements/runtime.txt | head -n 1; }  # first that for Python 3.11 and newer

pip_install() {
    "$VENV/bin/python" scripts/check_wheels.py && "$VENV/bin/python" -m pip install --progress-bar off "$@"
}

build_messages() {
    timed "messages and the lisa_ros package (about half a minute)" \
        pip_install --no-build-isolation --no-deps --editable .
    "$VENV/bin/python" -c 'from lisa_ros.action import Segment; from lisa_ros.msg import SegmentationResult; from lisa_ros.srv import SubmitQuery'
}

# numba keeps what it compiles beside the sources; a node's first query would have to wait for it otherwise.
compile_kernels() {
    timed "compiled kernels of clouds and of the simulator (about half a minute)" \
        "$VENV/bin/python" -c 'from lisa_ros.geometry.warming import warm_up; from lisa_ros.simulator import generate_scene; warm_up(); generate_scene(1)'
}

check_machine
install_system_packages
make_environment
REQUIREMENTS=(requirements/{build,ros,runtime,training,ray,grasp,console,dev}.txt)
CONSTRAINTS=requirements/constraints.txt
step wheels "$(hash_of "${REQUIREMENTS[@]}" "$CONSTRAINTS")" install_wheels
step messages "$(hash_of requirements/{build,ros}.txt CMakeLists.txt package.xml setup.* {msg,srv,action}/*)" build_messages
step kernels "$(hash_of requirements/runtime.txt lisa_ros/{geometry,simulator}/*.py)" compile_kernels
