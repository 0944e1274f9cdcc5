"""The files that are installed beside the code: launch files, configuration, package.xml."""

import subprocess
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

from lisa_ros.errors import ConfigurationError

PACKAGE = Path(__file__).parent


def share_directory() -> Path:
    """Where package.xml, config/ and launch/ lie: the source tree, or share/lisa_ros of the install prefix."""
    if (PACKAGE.parent / "package.xml").is_file():
        return PACKAGE.parent
    for prefix in PACKAGE.parents:  # <prefix>/[local/]lib/python3.x/{site,dist}-packages/lisa_ros
        share = prefix / "share" / "lisa_ros"
        if (share / "package.xml").is_file():
            return share
    raise ConfigurationError(f"share/lisa_ros was not found above {PACKAGE}; install the package with colcon or pip")


def version() -> str:
    """The package's version; it stands in package.xml, where ROS tools look for it, and nowhere else."""
    return ElementTree.parse(share_directory() / "package.xml").findtext("version")


def provenance() -> dict[str, str | None]:
    """What results are marked with: `version` of the package, `commit` of its checkout, `date` of now (ISO 8601, UTC).

    commit: None where the package was not run from a checkout of git; "-dirty" behind it where files were changed.
    """
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"version": version(), "commit": _commit(), "date": now}


def _commit() -> str | None:
    root = PACKAGE.parent
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):  # no git here, or the checkout is somebody else's
        return None
    return found.stdout.strip() or None


def find_config(name: str, folder: str = "") -> Path:
    """A configuration file: a path as it is, or else the name of one in the package's config/ or its subfolder.

    Raises ConfigurationError that lists the names there are.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path.absolute()
    shipped = share_directory() / "config" / folder
    for candidate in (shipped / name, shipped / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    names = ", ".join(sorted(file.stem for file in shipped.glob("*.yaml")))
    raise ConfigurationError(f"{name!r} is neither a file nor one of the package's: {names} (in {shipped})")
