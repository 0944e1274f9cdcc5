"""The files of the container images and the workflows: what they name exists, and they fit together."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))
DISTRIBUTIONS = ["humble", "jazzy", "kilted", "lyrical"]
KNOWN = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "RUN", "SHELL", "USER", "WORKDIR"}


def instructions(path: Path) -> list[tuple[str, str]]:
    """(word, rest) of each instruction, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_made_of_what_exists(path):
    found = instructions(path)
    words = [word for word, _ in found]
    assert set(words) <= KNOWN and words.count("FROM") == 1
    assert set(words[: words.index("FROM")]) <= {"ARG"}
    for word, rest in found:
        if word == "COPY":
            source, target = shlex.split(rest)
            assert (ROOT / source).exists() and target
        elif word in ("CMD", "ENTRYPOINT", "SHELL"):
            assert all(isinstance(part, str) for part in json.loads(rest)), "the form that starts no shell"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_variables_are_declared_before_they_are_used(path):
    declared = {"PATH"}
    for word, rest in instructions(path):
        if word == "FROM":
            assert set(re.findall(r"\$\{(\w+)\}", rest)) <= declared
            declared = {"PATH"} | (declared & {"ROS_DISTRO"})  # an ARG above FROM counts again only where it is named
        used = set(re.findall(r"\$\{?([A-Z_]+)\b", rest))
        if word in ("ARG", "ENV"):
            declared |= set(re.findall(r"(?:^|\s)([A-Z_0-9]+)(?:=|$)", rest))
        assert used <= declared, f"{word} {rest}"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_layers_hold_no_lists_of_packages_and_nothing_beside_what_was_asked_for(path):
    for word, rest in instructions(path):
        if word == "RUN" and "apt-get install" in rest:
            assert rest.count("apt-get install") == rest.count("--no-install-recommends"), rest
            assert "rm -rf /var/lib/apt/lists/*" in rest and "apt-get update" in rest
        assert "sudo" not in rest


def test_the_image_of_the_demo_has_what_set_up_would_install():
    """The names that scripts/setup.sh gives apt, so that it has nothing to ask for."""
    (packages,) = (rest for word, rest in instructions(ROOT / "docker/demo.Dockerfile") if "apt-get install" in rest)
    script = (ROOT / "scripts/setup.sh").read_text(encoding="utf-8")
    wanted = set(re.findall(r'"(lib[\w.-]+?)": "lib', script)) | {"g++", "python3-venv", "python3-dev"}
    assert len(wanted) >= 8 and wanted <= set(packages.split())


def test_camera_and_node_share_memory_user_and_profile():
    services = yaml.safe_load((ROOT / "docker/compose.yaml").read_text(encoding="utf-8"))["services"]
    assert services.keys() == {"perception", "camera", "simulator"}
    for service in services.values():
        assert service["ipc"] == service["network_mode"] == "host"
        assert service["user"] == services["perception"]["user"]
        mounts = dict(volume.split(":")[:2] for volume in service["volumes"] if not volume.startswith("${"))
        assert mounts["../config/fastdds.xml"] == "/fastdds.xml"
        for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
            assert service["environment"][name] == "/fastdds.xml"
        build = service["build"]
        assert (ROOT / "docker" / build["context"] / build["dockerfile"]).is_file()
    (device,) = services["perception"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia" and device["capabilities"] == ["gpu"]


def test_variables_of_the_compose_file_are_on_the_page():
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker/compose.yaml").read_text(encoding="utf-8")))
    page = (ROOT / "docs/docker.md").read_text(encoding="utf-8")
    assert not [name for name in used if not re.search(rf"\b{name}\b", page)]


def test_the_node_s_command_is_understood():
    from lisa_ros import graph, launcher

    services = yaml.safe_load((ROOT / "docker/compose.yaml").read_text(encoding="utf-8"))["services"]
    for name in ("perception", "simulator"):
        words = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", services[name]["command"]).split()
        assert words[:4] == ["ros2", "launch", "lisa_ros", "perception.launch.py"]
        assert graph.processes(launcher.parse_arguments(words[4:]))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_whole(path):
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    triggers = workflow[True]  # YAML 1.1 reads `on` as a truth value
    assert set(triggers) <= {"push", "pull_request"} and workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["runs-on"] and job["timeout-minutes"]
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            if "uses" in step:
                assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
        axes = job.get("strategy", {}).get("matrix", {})
        assert set(re.findall(r"matrix\.(\w+)", json.dumps(job))) == set(axes)
        if "distribution" in axes:
            assert axes["distribution"] == DISTRIBUTIONS
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert set(re.findall(r"run: make (\w+)", text)) <= set(targets)
    for name in re.findall(r"docker/[\w.]+|(?<=src/lisa_ros/)requirements/[\w.-]+", text):
        assert (ROOT / name.rstrip(".")).exists(), name


def test_workflows_lint_test_build_and_document():
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    for words in ("make test", "ruff format --check", "colcon build", "rosdep check", "make docs", "docker build"):
        assert words in text
