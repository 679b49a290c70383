"""The Runs page: filter, group, pick, download."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from tests.app.conftest import SMALL, Opener, faults, words
from workbench.app.store import zipped
from workbench.runs.synthetic import write_run


def test_the_filter_is_in_the_link(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["many"], q="method:er")
    table = app.dataframe[0].value
    assert table["name"].tolist() == ["20260102-050405_er_synthetic_s0"]
    assert "1 of 4 runs" in words(app)


def test_a_wrong_filter_is_explained(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["many"], q="sede:<3 acc:>high")
    assert "did you mean 'seed'" in words(app) and "'high' is no number" in words(app)
    app = open_page(folders["many"], q="no-run-is-called-this")
    assert "No run matches this filter." in words(app) and faults(app) == []


def test_groups_show_means(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["many"], group="method")
    table = app.dataframe[0].value.set_index("method")
    assert table.loc["lsebmcl", "runs"] == 3 and table.loc["er", "runs"] == 1


def test_j_and_k_move_the_run(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["many"])
    first = app.selectbox(key="run").value
    app.button(key="run_down").click().run()
    assert app.selectbox(key="run").value != first
    app.button(key="run_up").click().run()
    assert app.selectbox(key="run").value == first


def test_a_broken_run_is_a_row_with_a_sentence(open_page: Opener, folders: dict[str, Path], tmp_path: Path):
    write_run(tmp_path, **SMALL)
    bad = tmp_path / "20260203-000000_er_s0"
    bad.mkdir()
    (bad / "run.json").write_text("{")
    app = open_page(tmp_path, run=bad.name)
    assert faults(app) == []
    assert sorted(app.dataframe[0].value["status"]) == ["broken", "finished"]
    assert "run.json: not JSON" in words(app)


def test_the_zip_holds_no_weights_and_follows_no_link(tmp_path: Path):
    run = tmp_path / "a"
    for name in ("run.json", "weights/w.safetensors", "chains/1.safetensors"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("x")
    (run / "outside.txt").symlink_to("/etc/hostname")
    with zipfile.ZipFile(io.BytesIO(zipped([run]))) as archive:
        assert sorted(archive.namelist()) == ["a/chains/1.safetensors", "a/run.json"]
