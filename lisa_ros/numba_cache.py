"""Imported before numba: lets it keep what it compiles, also where neither the package nor a home can be written."""

from pathlib import Path

from lisa_ros.writable_folders import ensure_numba_cache

ensure_numba_cache(Path(__file__).parent)
