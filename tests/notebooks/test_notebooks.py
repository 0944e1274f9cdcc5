"""The notebooks run from their first cell to their last; the one that trains does so at a small setting."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.unit

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
SHOWN = {"ask_about_a_picture": "mask: 0", "fine_tune": "rubber duck: IoU", "inside_an_answer": "[SEG]"}
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_three_and_their_outputs_are_left_out():
    assert [path.stem for path in NOTEBOOKS] == ["ask_about_a_picture", "fine_tune", "inside_an_answer"]
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert code and not any(cell["outputs"] or cell["execution_count"] for cell in code), path.name


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("LISA_ROS_NOTEBOOK_QUICK", "1")
    monkeypatch.setenv("LISA_ROS_NOTEBOOK_OUT", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    done = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(FOLDER)}}).execute()
    shown = "".join(str(cell.get("outputs", "")) for cell in done.cells)
    assert "image/png" in shown
    assert SHOWN[path.stem] in shown
