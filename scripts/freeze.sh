#!/usr/bin/env bash
# Writes requirements/constraints.txt: the versions of all that pip has installed in .venv. After pins have changed:
#   : >requirements/constraints.txt; make clean setup; scripts/freeze.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
.venv/bin/python - >requirements/constraints.new <<'END'
import sysconfig
from importlib.metadata import Distribution
from pathlib import Path

print("# Every package that set-up installs, those that others bring included: a clone of today installs the same in a")
print("# year. Why a version is pinned stands beside it in the other files. Written by scripts/freeze.sh; do not edit.\n")
for metadata in sorted(Path(sysconfig.get_path("purelib")).glob("*.dist-info"), key=lambda path: path.name.lower()):
    one = Distribution.at(metadata)
    if one.name not in ("pip", "lisa_ros"):
        print(f"{one.name}=={one.version}")
END
mv requirements/constraints.new requirements/constraints.txt
