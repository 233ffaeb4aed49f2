"""Each notebook runs from top to bottom on its own, and is stored without what that leaves."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} >= {"explore", "monitor", "replay"}


@each_notebook
def test_it_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    # A developer's own settings of IPython and Matplotlib are not those of a fresh machine.
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    notebook = nbformat.read(path, as_version=4)

    NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(work)}}
    ).execute()  # raises what a cell raises

    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert not [out for out in outputs if out.output_type == "error"]
    shown = [out.data for out in outputs if "data" in out]
    assert any("image/png" in data for data in shown), "no picture"
    for page in (data["text/html"] for data in shown if "text/html" in data):
        assert not re.search(r"<(script|link|img)\b", page), "needs more than the notebook itself"
    assert not list(work.iterdir()), "left something behind"


@each_notebook
def test_it_is_stored_stripped(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.metadata == METADATA
    for cell in notebook.cells:
        assert not cell.metadata, cell.id
        if cell.cell_type == "code":
            assert cell.execution_count is None, cell.id
            assert cell.outputs == [], cell.id


@each_notebook
def test_its_cells_have_names(path):
    names = [cell.id for cell in nbformat.read(path, as_version=4).cells]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names), names
