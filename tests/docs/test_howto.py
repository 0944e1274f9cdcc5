"""Code, recipes and annotations on the pages are read by what reads them."""

import re
import shutil

import pytest
import yaml
from pages import ROOT, without_others

from lisa_ros.datasets.reasonseg import read_annotation
from lisa_ros.nodes.perception.parameters import parameter_definitions

pytestmark = pytest.mark.unit

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(python|yaml|json)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def of(language: str, page: str = "") -> list[str]:
    """The blocks of a language, of one page or of all."""
    texts = [path.read_text(encoding="utf-8") for path in PAGES if page in str(path)]
    return [
        re.sub(f"^{m[1]}", "", m[3], flags=re.M) for text in texts for m in BLOCK.finditer(text) if m[2] == language
    ]


def test_python_on_the_pages_is_python():
    assert len(of("python")) > 12
    for block in of("python"):
        compile(block, "page", "exec")


def test_the_recipe_for_own_pictures_is_a_run(tmp_path):
    from training.config.train_config import load_config

    for path in (ROOT / "config/training").glob("*.yaml"):
        shutil.copy(path, tmp_path)
    (recipe,) = of("yaml", "howto/fine_tune")
    (tmp_path / "mine.yaml").write_text(recipe)
    config = load_config(tmp_path / "mine.yaml")
    assert config.data.groups.keys() == {"mine"} and config.batch.steps == 100
    assert config.devices.quantization == "nf4", "from the recipe that it builds on"


def test_the_annotation_for_own_pictures_is_read(tmp_path):
    (annotation,) = of("json", "howto/fine_tune")
    (tmp_path / "001.json").write_text(annotation)
    texts, is_sentence, labels = read_annotation(tmp_path / "001.json", 240, 320)
    assert len(texts) == 2 and not is_sentence and (labels == 1).sum() > 100


def test_parameters_for_moveit_are_the_node_s():
    files = [yaml.safe_load(block) for block in of("yaml", "grasp_with_moveit")]
    (node,) = (file["/**"]["ros__parameters"] for file in files if "/**" in file)
    names = {one.name for one in parameter_definitions()}
    cloud = {f"cloud.{name}" for name in node.pop("cloud")}
    assert cloud and cloud | node.keys() <= names


def test_blocks_of_other_languages_hide_no_commands():
    assert "lisa-ros" not in without_others("```json\nlisa-ros ask\n```\n")
