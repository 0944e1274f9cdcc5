"""The house rules of names and rooms: no class name twice, no long module, imports that go down the floors."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
LIMIT = 300  # lines of a module
TOP = ("lisa_ros", "training")
# From the ground up: a room imports its own floor's rooms and those below. `lisa_ros/__init__.py` offers `Lisa` lazily.
FLOORS = (
    ("errors", "types", "progress", "resources", "cpu_threads", "writable_folders", "numba_cache", "middleware"),
    ("git_lfs", "standard_streams", "image_encodings", "named_values"),
    ("images", "geometry", "simulator", "model", "visualization", "graph", "tracking"),
    ("sensor_messages", "launcher"),
    ("datasets", "recordings", "inference", "console"),
    ("scannet",),
    ("evaluation", "training"),
    ("rclpy_compat",),
    ("client", "nodes"),
    ("private_graph",),
    ("replay", "demo", "viewers"),
    ("commands",),
    ("cli",),
    ("__main__",),
)
GENERATED = ("msg", "srv", "action")  # by rosidl, when the package is built
TRAINING_FLOORS = (
    *(("errors",), ("config",), ("data",), ("model",), ("loop",)),
    *(("tabletop", "elisa", "proposals"), ("comparison",), ("commands",), ("__main__",)),
)


@cache
def modules() -> dict[str, ast.Module]:
    """Dotted name -> syntax tree of every module that is installed or run from a checkout."""
    found = {}
    for top in TOP:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(tree: ast.AST, *, everywhere: bool) -> set[str]:
    """Names of this project's modules that a module imports; everywhere: in its functions too."""
    found = set()
    for node in _imports_below(tree, everywhere):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in modules():
                name = name.rpartition(".")[0]
            if name:
                found.add(name)
    return found


def _imports_below(tree: ast.AST, everywhere: bool):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue  # never runs
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _imports_below(node, everywhere)


def room(module: str) -> str:
    """The part of a module's name below its package: "lisa_ros.nodes.camera" -> "nodes"."""
    return (module.split(".") + [""])[1]


def test_no_class_name_occurs_twice():
    places = defaultdict(list)
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert not twice


def test_no_module_is_too_long():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for top in TOP
        for path in (ROOT / top).rglob("*.py")
    }
    assert not {name: length for name, length in lengths.items() if length > LIMIT}


def test_every_module_that_is_imported_exists():
    missing = [
        f"{module}: {node.module}"
        for module, tree in modules().items()
        for node in _imports_below(tree, everywhere=True)
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in TOP
        if node.module not in modules() and node.module.split(".")[1] not in GENERATED
    ]
    assert not missing


def test_every_room_has_a_floor():
    named = {name for floors in (FLOORS, TRAINING_FLOORS) for floor in floors for name in floor}
    there = {room(module) for module in modules()} - {""}
    assert not there - named


def test_imports_go_down_the_floors():
    upwards = []
    for module, tree in modules().items():
        if module == "lisa_ros":
            continue
        for imported in imports(tree, everywhere=True):
            above, below = _level(module, imported), _level(imported, module)
            if below > above:
                upwards.append(f"{module} -> {imported}")
    assert not sorted(upwards)


def _level(module: str, other: str) -> int:
    """Floor of a module's room: within training its own floors, else those of the whole."""
    own = module.split(".")[0]
    if own == "training" and other.split(".")[0] == "training":
        return _floor(TRAINING_FLOORS, room(module))
    return _floor(FLOORS, "training" if own == "training" else room(module))


def _floor(floors: tuple[tuple[str, ...], ...], name: str) -> int:
    return next((number for number, names in enumerate(floors) if name in names), -1)


def test_no_module_imports_itself_by_a_detour():
    graph = {module: imports(tree, everywhere=False) - {module} for module, tree in modules().items()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            pytest.fail("a circle: " + " -> ".join((*path[path.index(module) :], module)))
        if module not in done:
            for imported in sorted(graph[module]):
                visit(imported, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())
