"""`pip install [-e] .`: drives the CMakeLists.txt that colcon uses and packs what it installs into the wheel."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from xml.etree import ElementTree

from setuptools import Command, Distribution, find_packages, setup
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parent
NAME = "lisa_ros"


def version() -> str:
    """ROS tools read the version from package.xml, so it stands there and nowhere else."""
    return ElementTree.parse(ROOT / "package.xml").findtext("version")


# Files of requirements/ that are no extra: what everything needs, what the build needs, what a ROS install needs.
NO_EXTRAS = {"build", "ros", "runtime", "ros-install", "constraints"}


def extras() -> dict[str, list[str]]:
    """Every other file of requirements/ is an extra of its name: `pip install 'lisa_ros[ray,training]'`."""
    names = sorted(path.stem for path in (ROOT / "requirements").glob("*.txt"))
    return {name: requirements(name) for name in names if name not in NO_EXTRAS}


def requirements(name: str) -> list[str]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return [words for line in lines if (words := line.split("#")[0].strip())]


class BuildInterfaces(Command):
    """Adds lisa_ros.msg, .srv and .action, their shared libraries, share/ and the package's data to the wheel."""

    user_options = []
    editable_mode = False

    def initialize_options(self):
        self.build_lib = self.build_temp = None

    def finalize_options(self):
        self.set_undefined_options("build", ("build_lib", "build_lib"), ("build_temp", "build_temp"))

    def get_source_files(self):
        folders = ("msg", "srv", "action", "launch", "config", "examples", "requirements")
        files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
        return [str(path.relative_to(ROOT)) for path in files] + ["CMakeLists.txt", "package.xml"]

    def get_outputs(self):
        return []

    def get_output_mapping(self):
        return {}

    def run(self):
        prefix = self.cmake_install()
        site = next(p.parent for p in prefix.rglob(NAME) if p.parent.name in ("site-packages", "dist-packages"))
        installed = [
            p for p in (site / NAME).rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".c"
        ]
        if self.editable_mode:
            # Only what the source tree lacks, next to nothing else in site-packages/lisa_ros: found through
            # extend_path() in lisa_ros/__init__.py.
            generated = [path for path in installed if not (ROOT / path.relative_to(site)).exists()]
            self.add_data(generated, site, os.path.relpath(sysconfig.get_path("platlib"), sys.prefix))
        else:
            for path in installed:
                target = Path(self.build_lib) / path.relative_to(site)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
        self.add_data(
            [
                path
                for top in ("lib", "share")
                for path in (prefix / top).rglob("*")
                if path.is_file() and site not in path.parents
            ],
            prefix,
            ".",
        )

    def add_data(self, paths, base, target):
        for path in paths:
            folder = os.path.normpath(os.path.join(target, path.relative_to(base).parent))
            self.distribution.data_files.append((folder, [str(path)]))

    def cmake_install(self) -> Path:
        build_dir = Path(self.build_temp).resolve() / "cmake"
        prefix = build_dir.parent / "prefix"
        shutil.rmtree(prefix, ignore_errors=True)
        # Every prefix that may hold share/<ROS package>: the virtual environment and pip's build overlay.
        prefixes = dict.fromkeys(
            str(Path(p).resolve().parents[2]) for p in sys.path if p.endswith(("site-packages", "dist-packages"))
        )
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
        for name in ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH"):
            environment[name] = os.pathsep.join(filter(None, [*prefixes, os.environ.get(name)]))
        # cmake and ninja lie beside python, also when the virtual environment is not activated
        environment["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), environment["PATH"]])
        cmake = shutil.which("cmake", path=environment["PATH"])
        if cmake is None:
            sys.exit(
                "lisa_ros: cmake not found; pip install -r requirements/build.txt, or install without "
                "--no-build-isolation"
            )
        subprocess.run(
            [
                cmake,
                "-S",
                ROOT,
                "-B",
                build_dir,
                "-G",
                "Ninja",
                "-DBUILD_TESTING=OFF",
                f"-DCMAKE_INSTALL_PREFIX={prefix}",
                f"-DPython3_EXECUTABLE={sys.executable}",
            ],
            check=True,
            env=environment,
        )
        subprocess.run([cmake, "--build", build_dir, "--target", "install"], check=True, env=environment)
        return prefix


build.sub_commands = [*build.sub_commands, ("build_interfaces", None)]


class BinaryDistribution(Distribution):
    def has_ext_modules(self):
        return True

    def has_data(self):  # setuptools' editable_wheel asks this name before it runs install_data
        return bool(self.data_files)


setup(
    name=NAME,
    version=version(),
    description="Language-instructed segmentation for robots: ask in words, get masks, answers and point clouds.",
    license="Apache-2.0",
    distclass=BinaryDistribution,
    package_dir={"": "."},  # lets `pip install -e .` use a plain .pth file
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    data_files=[],
    cmdclass={"build_interfaces": BuildInterfaces},
    python_requires=">=3.11",
    install_requires=[*requirements("ros"), *requirements("runtime")],
    extras_require=extras(),
)
