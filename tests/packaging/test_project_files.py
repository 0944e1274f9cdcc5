"""Files that others' tools read: citation, hooks, types, rosdep keys; they agree with what stands elsewhere."""

import datetime
import re
from importlib import resources as package_files
from pathlib import Path

import pytest
import yaml
from catkin_pkg.package import parse_package
from packaging.requirements import Requirement

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
MANIFEST = parse_package(str(ROOT / "package.xml"))
# Distribution in runtime.txt -> rosdep key in package.xml; all resolve on Ubuntu 22.04, 24.04 and 26.04.
KEYS = {
    "jinja2": "python3-jinja2",
    "huggingface_hub": "python3-huggingface-hub-pip",
    "matplotlib": "python3-matplotlib",
    "open3d": "python3-open3d-pip",
    "pillow": "python3-pil",
    "pyyaml": "python3-yaml",
    "rosbags": "python3-rosbags-pip",
    "torchvision": "python3-torchvision-pip",
    "tqdm": "python3-tqdm",
    "transformers": "python3-transformers-pip",
}
# Without a key that fits the pins: package.xml names them and says what installs them.
WITHOUT_KEY = {"numba", "safetensors", "segment-anything", "sentencepiece", "timm", "tokenizers", "torch"}


def runtime_requirements() -> set[str]:
    lines = (ROOT / "requirements/runtime.txt").read_text().splitlines()
    return {Requirement(words).name.lower() for line in lines if (words := line.split("#")[0].strip())}


def test_every_runtime_requirement_has_a_rosdep_key_or_is_named_as_one_without():
    assert runtime_requirements() == KEYS.keys() | WITHOUT_KEY
    dependencies = {dependency.name for dependency in MANIFEST.exec_depends}
    assert set(KEYS.values()) <= dependencies
    text = (ROOT / "package.xml").read_text()
    (comment,) = (part for part in re.findall(r"<!--(.*?)-->", text, re.S) if "runtime.txt" in part)
    assert all(re.search(rf"\b{name}\b", comment) for name in WITHOUT_KEY)


def test_the_maintainer_is_the_project():
    (maintainer,) = MANIFEST.maintainers
    assert maintainer.name == "lisa_ros maintainers"
    assert maintainer.email.endswith(".invalid"), "RFC 2606: nobody else can ever own this name"


def test_the_citation_is_whole_and_has_the_packages_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["message"] and citation["type"] == "software"
    assert str(citation["version"]) == MANIFEST.version
    assert citation["license"] == MANIFEST.licenses[0] == "Apache-2.0"
    assert citation["authors"] == [{"name": MANIFEST.maintainers[0].name}]
    for paper in citation["references"]:
        assert paper["type"] == "article" and paper["title"]
        arxiv = re.fullmatch(r"https://arxiv\.org/abs/(\d\d)\d\d\.\d{5}", paper["url"])
        assert 2000 + int(arxiv[1]) == paper["year"] <= datetime.date.today().year
        assert paper["authors"] and all(author.keys() == {"family-names", "given-names"} for author in paper["authors"])
    assert (ROOT / "README.md").read_text().count("https://arxiv.org/abs/2308.00692") >= 1


def test_hooks_check_with_the_pinned_ruff():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    found = {}
    for repository in hooks["repos"]:
        assert repository["repo"].startswith("https://github.com/") and re.fullmatch(r"v[\d.]+", repository["rev"])
        found |= {hook["id"]: repository["rev"] for hook in repository["hooks"]}
    assert found.keys() == {"ruff-check", "ruff-format", "typos"}
    pins = (ROOT / "requirements/dev.txt").read_text()
    assert f"ruff=={found['ruff-check'].removeprefix('v')}" in pins
    (format_hook,) = (hook for each in hooks["repos"] for hook in each["hooks"] if hook["id"] == "ruff-format")
    assert "--check" in format_hook["args"], "a hook that changes files behind one's back is a surprise"


def test_what_the_spelling_check_leaves_out_is_there():
    excluded = re.search(r"^extend-exclude = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)[1]
    names = re.findall(r'"(.*?)"', excluded)
    assert names and all((ROOT / name).exists() for name in names)


def test_types_are_announced_where_the_package_is_installed():
    assert (package_files.files("lisa_ros") / "py.typed").is_file()
    installed = re.search(
        r"install\(DIRECTORY \$\{PROJECT_NAME\}/ DESTINATION .*?\)", (ROOT / "CMakeLists.txt").read_text(), re.S
    )
    assert re.findall(r'PATTERN "(.*?)" EXCLUDE', installed[0]) == ["__pycache__"], "all other files go along"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_a_page_names_only_files_and_targets_that_exist(page):
    text = (ROOT / page).read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`?make ([a-z]+)", text)) <= targets
    for name in re.findall(r"`((?:tests|scripts|requirements|lisa_ros|docs)/[\w./-]*)`", text):
        assert (ROOT / name).exists(), name
    for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text):
        assert (ROOT / link).exists(), link
