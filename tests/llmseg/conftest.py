"""Tiny LLM-Seg models with what the official code computed; the tests run on every variant that is found."""

from golden_variants import LlmSegVariant, find_golden

_VARIANTS = [LlmSegVariant(directory) for directory in find_golden("llmseg")]


def pytest_generate_tests(metafunc):
    if "llmseg" in metafunc.fixturenames:
        metafunc.parametrize("llmseg", _VARIANTS, ids=lambda one: one.directory.name, scope="session")
