"""What is said in several places of the package agrees, and what is imported is required."""

import ast
import configparser
import importlib
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from catkin_pkg.package import parse_package
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lisa_ros import resources

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lisa_ros"
MANIFEST = parse_package(str(ROOT / "package.xml"))
# import name -> name of the distribution or ROS package, where they differ
DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml", "rerun": "rerun-sdk"}


def requirement_lines(name: str) -> list[str]:
    """The requirements of requirements/<name>.txt."""
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()]
    return [line for line in lines if line]


def pins(name: str) -> dict[str, str]:
    """Distribution -> version specifier, as requirements/<name>.txt says for this Python."""
    found = [Requirement(line) for line in requirement_lines(name)]
    wanted = [requirement for requirement in found if requirement.marker is None or requirement.marker.evaluate()]
    return {requirement.name.lower().replace("_", "-"): str(requirement.specifier) for requirement in wanted}


def installed_version(distribution: str) -> str:
    """Without the mark of a build, as 2.15.0+cpu has it."""
    return importlib.metadata.version(distribution).partition("+")[0]


def imported_packages(folder: Path) -> set[str]:
    """Top-level names that the code imports, at import or later, and that Python itself does not bring."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"lisa_ros"}


def console_scripts() -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["options.entry_points"]["console_scripts"].strip().splitlines()
    return {name.strip(): target.strip() for name, _, target in (line.partition("=") for line in lines)}


def test_manifest_is_valid_and_gives_the_installed_version():
    MANIFEST.validate()
    assert MANIFEST.package_format == 3
    assert resources.version() == MANIFEST.version == importlib.metadata.version("lisa_ros")


def test_every_ros_package_in_use_is_a_dependency():
    dependencies = {dependency.name for dependency in MANIFEST.exec_depends}
    interfaces = [path for kind in ("msg", "srv", "action") for path in (ROOT / kind).iterdir()]
    fields = {name for path in interfaces for name in re.findall(r"^(\w+)/\w", path.read_text(), re.M)} - {"lisa_ros"}
    ros_names = {
        name
        for name in imported_packages(PACKAGE)
        if name.endswith(("_msgs", "_interfaces", "_srvs", "_ros", "_bridge")) or name == "rclpy"
    }
    assert fields <= {dependency.name for dependency in MANIFEST.build_depends}, "messages need them to build"
    assert ros_names <= dependencies


def test_every_import_is_required():
    ros = {dependency.name for dependency in MANIFEST.exec_depends}
    files = ("runtime", "ros", "quantization", "ray", "grasp", "rerun", "console")
    required = {name for file in files for name in pins(file)} | ros
    imports = {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in imported_packages(PACKAGE)}
    assert {name for name in imports if not {name, name.replace("-", "_")} & required} == set()


def test_pins_are_what_is_installed_and_tested():
    for name in ("build", "ros", "runtime", "grasp", "console", "dev"):
        for distribution, specifier in pins(name).items():
            if specifier.startswith("=="):
                assert f"=={installed_version(distribution)}" == specifier, distribution


def test_pip_builds_with_the_pins_of_the_requirements():
    text = re.search(r"^requires = (\[.*?^\])", (ROOT / "pyproject.toml").read_text(), re.M | re.S)[1]
    lines = ast.literal_eval(text)  # a TOML array of strings is a Python list
    isolated = {Requirement(line).name.lower().replace("_", "-"): Requirement(line).specifier for line in lines}
    known = pins("ros") | pins("build")
    assert set(pins("build")) <= set(isolated)
    for name, specifier in isolated.items():
        assert str(specifier) == known[name], name


def test_executables_exist():
    scripts = console_scripts()
    assert set(scripts) == {"perception_node", "camera_node", "console_node", "lisa-ros"}
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_cmake_finds_every_executable():
    cmake = (ROOT / "CMakeLists.txt").read_text()
    pattern = re.search(r'file\(STRINGS setup\.cfg entry_points REGEX "(.*)"\)', cmake)[1]
    found = [line for line in (ROOT / "setup.cfg").read_text().splitlines() if re.search(pattern, line)]
    assert len(found) == len(console_scripts())


def test_every_folder_of_code_is_a_package():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_import_is_light():
    code = "import lisa_ros, lisa_ros.cli, lisa_ros.graph, sys; sys.exit(bool({'torch', 'rclpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_cloud_process_loads_neither_the_model_nor_ros():
    """It would take half a GB more, beside a node that holds them already."""
    heavy = "{'torch', 'torchvision', 'transformers', 'rclpy', 'matplotlib'}"
    module = "lisa_ros.nodes.perception.clouds.cloud_process"
    code = f"import {module}, sys; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_resources_are_found_in_an_install_prefix(tmp_path, monkeypatch):
    package = tmp_path / "prefix/local/lib/python3.10/dist-packages/lisa_ros"
    share = tmp_path / "prefix/share/lisa_ros"
    for folder in (package, share):
        folder.mkdir(parents=True)
    (share / "package.xml").write_text((ROOT / "package.xml").read_text())
    monkeypatch.setattr(resources, "PACKAGE", package)
    assert resources.share_directory() == share
    assert resources.version() == MANIFEST.version


def test_constraints_name_the_version_of_everything_that_setup_installs():
    """Those that others bring included; after a change of pins: scripts/freeze.sh."""
    lines = (ROOT / "requirements/constraints.txt").read_text().splitlines()
    named = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    files = re.findall(r"REQUIREMENTS=\(requirements/\{(.*)\}\.txt\)", (ROOT / "scripts/setup.sh").read_text())[0]
    waiting = [(Requirement(word), ("",)) for name in files.split(",") for word in requirement_lines(name)]
    seen = {}
    while waiting:
        one, extras = waiting.pop()
        if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        asked = ("", *one.extras)
        name = canonicalize_name(one.name)
        if seen.get(name) == asked:
            continue
        seen[name] = asked
        found = importlib.metadata.distribution(one.name)
        assert named.get(name) == installed_version(one.name), f"{found.name} {found.version}: run scripts/freeze.sh"
        waiting += [(Requirement(word), asked) for word in found.requires or ()]
    assert len(seen) > 150


def test_extras_are_the_files_of_requirements_and_nothing_of_them_is_on_a_robot():
    metadata = importlib.metadata.metadata("lisa_ros")
    names = {path.stem for path in (ROOT / "requirements").glob("*.txt")}
    base = {"build", "ros", "runtime", "ros-install", "constraints"}
    source = (ROOT / "setup.py").read_text()
    assert ast.literal_eval(re.search(r"^NO_EXTRAS = (\{.*\})$", source, re.M)[1]) == base
    assert {"dev", "docs", "grasp", "quantization", "ray", "training"} <= names - base
    assert set(metadata.get_all("Provides-Extra")) <= names - base, "built before a file was taken away: make setup"
    always = {Requirement(line).name for file in ("ros", "runtime") for line in requirement_lines(file)}
    for file in names - base:
        assert not {Requirement(line).name for line in requirement_lines(file)} & always - {"numpy"}, file
