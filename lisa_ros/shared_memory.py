"""Whether there is room for the shared memory that Fast DDS moves images through."""

import os
from pathlib import Path
from xml.etree import ElementTree

from lisa_ros.resources import share_directory

FOLDER = Path("/dev/shm")


def segment_size() -> int:
    """Bytes that each process takes under config/fastdds.xml."""
    profile = ElementTree.parse(share_directory() / "config" / "fastdds.xml")
    return int(profile.findtext(".//{*}segment_size"))


def shared_memory_note(processes: int) -> str | None:
    """What a person should know before so many processes start; None where there is room for all of them."""
    try:
        free = os.statvfs(FOLDER)
    except OSError:  # no such folder: not Linux
        return None
    megabytes = free.f_bavail * free.f_frsize // 2**20
    wanted = processes * segment_size() // 2**20 + 1
    if megabytes >= wanted:
        return None
    return (
        f"{FOLDER} has {megabytes} MB free, and Fast DDS wants {wanted} for its shared memory: lines with "
        "'RTPS_TRANSPORT_SHM Error' are harmless, but messages go by UDP, where large images may get lost (NO_IMAGE, "
        "NO_DEPTH). "
        "Remedy in a container: docker run --shm-size=512m (or --ipc=host)"
    )
