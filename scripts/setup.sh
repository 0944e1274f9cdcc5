#!/usr/bin/env bash
# Makes everything that `make demo` and `make test` need, in .venv beside this checkout; called by the Makefile.
# Does only what is missing or has changed since the last run. PYTHON names the interpreter to use (default python3).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec 9<. && flock 9  # `make demo` and `make test` at the same time: the second one waits

PYTHON=${PYTHON:-python3}
VENV=.venv
STAMPS=$VENV/.lisa_ros
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
    [[ $(uname -sm) == "Linux x86_64" ]] ||
        fail "$(uname -sm): PyPI has ROS wheels for Linux x86_64 only. Build on a ROS 2 install: docs/installation.md."
}

missing_system_packages() {
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    "$PYTHON" - <<'END'
import ctypes
import os
import sysconfig

if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    print("python3-dev")
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
        fail "Missing system packages; install them and run make again: sudo apt-get install ${packages[*]}"
    fi
    say "apt-get install ${packages[*]}"
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
}

# step NAME HASH COMMAND...: runs the command unless it has succeeded before with the same hash.
step() {
    local stamp=$STAMPS/$1 hash=$2
    [[ -f $stamp && $(<"$stamp") == "$hash" ]] && return
    "${@:3}"
    mkdir -p "$STAMPS"
    echo "$hash" >"$stamp"
}

hash_of() { cat "$@" | sha256sum | cut -d' ' -f1; }

make_environment() {
    [[ -x $VENV/bin/python ]] && "$VENV/bin/python" -c '' 2>/dev/null && return
    say "virtual environment $VENV with $("$PYTHON" --version)"
    "$PYTHON" -m venv --clear "$VENV"
}

install_wheels() {
    say "Python wheels (the first time several minutes: torch alone brings 5 GB)"
    local arguments=()
    for file in "${REQUIREMENTS[@]}"; do arguments+=(-r "$file"); done
    if [[ -t 1 ]]; then
        "$VENV/bin/python" -m pip install "${arguments[@]}"  # with progress bars
    else
        "$VENV/bin/python" -m pip install "${arguments[@]}" | sed -u '/^Requirement already satisfied/d'
    fi
}

build_messages() {
    say "messages and the lisa_ros package (about half a minute)"
    "$VENV/bin/python" -m pip install --quiet --no-build-isolation --no-deps --editable .
    "$VENV/bin/python" -c 'from lisa_ros.action import Segment; from lisa_ros.msg import SegmentationResult; from lisa_ros.srv import SubmitQuery'
}

check_machine
install_system_packages
make_environment
REQUIREMENTS=(requirements/{build,ros,runtime,training,ray,grasp,dev}.txt)
step wheels "$(hash_of "${REQUIREMENTS[@]}")" install_wheels
step messages "$(hash_of requirements/{build,ros}.txt CMakeLists.txt package.xml setup.* {msg,srv,action}/*)" build_messages
