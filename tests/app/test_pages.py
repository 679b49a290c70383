"""Every page in every state of the runs folder: no exception, and the right sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import PAGES, ROOT, SMALL, Opener, faults, words
from workbench.runs.reader import Run
from workbench.runs.synthetic import write_run


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("state", ["one", "many"])
def test_page_shows_a_run(open_page: Opener, folders: dict[str, Path], page: str, state: str):
    app = open_page(folders[state], page)
    assert faults(app) == []
    assert "no runs yet" not in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_no_runs(open_page: Opener, folders: dict[str, Path], page: str):
    app = open_page(folders["none"], page)
    assert faults(app) == []
    text = words(app)
    assert "There are no runs yet." in text and str(folders["none"]) in text and "workbench train" in text


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("state", "badge"), [("running", "running"), ("crashed", "crashed")])
def test_unfinished_runs_show_what_there_is(open_page: Opener, folders: dict[str, Path], page: str, state: str, badge: str):
    app = open_page(folders[state], page)
    assert faults(app) == []
    if page in ("live", "overview", "forgetting", "energy", "chains", "latent_map", "replay"):
        assert badge in words(app)


@pytest.mark.parametrize("state", ["one", "crashed", "running"])
def test_the_header_says_when_a_run_ended_and_not_when_it_was_copied(open_page: Opener, folders: dict[str, Path], state: str):
    app = open_page(folders[state], "overview")
    updated = Run(next(folders[state].iterdir())).info.updated[:16].replace("T", " ")
    says = {"one": f"finished {updated} UTC", "crashed": f"last written {updated} UTC", "running": "last written 0 s ago"}[state]
    written = [element.value for element in app.caption if element.value.startswith(("finished", "last written"))]
    assert written == [says] or (state == "running" and written[0].endswith(" s ago"))


@pytest.mark.parametrize("page", PAGES)
def test_a_broken_file_costs_its_panels_only(open_page: Opener, folders: dict[str, Path], page: str):
    app = open_page(folders["broken"], page)
    assert faults(app) == []
    if page in ("overview", "forgetting"):
        text = words(app)
        assert "broken file" in text and "eval" in text and "workbench check" in text


def unknown_link(app: AppTest, name: str) -> None:
    assert faults(app) == []
    assert any("names a run that is not here" in element.value for element in app.warning)
    assert any(repr(name) in element.value for element in app.text)
    assert app.selectbox(key="run").value is None


@pytest.mark.parametrize("page", PAGES)
def test_an_unknown_link_is_said_and_no_other_run_stands_in(open_page: Opener, folders: dict[str, Path], page: str):
    app = open_page(folders["many"], page, run="20260102-030405_lsebmcl_synthetic_s9")
    unknown_link(app, "20260102-030405_lsebmcl_synthetic_s9")
    assert "Nearest names: 20260102-030405_lsebmcl_synthetic_s0" in words(app)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc", "<b>x</b>", "..", "x" * 5000])
def test_a_hostile_link_is_an_unknown_link(open_page: Opener, folders: dict[str, Path], name: str):
    app = open_page(folders["many"], "overview", run=name)
    assert faults(app) == []
    assert any("names a run that is not here" in element.value for element in app.warning)
    assert any(name[:100] in element.value for element in app.text) and app.selectbox(key="run").value is None


def test_the_nearest_name_opens_the_run(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["many"], "overview", run="20260102-030405_lsebmcl_synthetic_s9")
    app.button(key="open_20260102-030405_lsebmcl_synthetic_s0").click().run()
    assert app.selectbox(key="run").value == "20260102-030405_lsebmcl_synthetic_s0"
    assert faults(app) == [] and not any("not here" in element.value for element in app.warning)


def test_the_link_restores_run_iteration_and_task(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["many"], "forgetting", run="20260102-040405_lsebmcl_synthetic_s1", it="37", task="roles")
    assert app.selectbox(key="run").value == "20260102-040405_lsebmcl_synthetic_s1"
    assert app.select_slider(key="it").value == 37
    assert app.selectbox(key="task").value == "roles"


@pytest.mark.parametrize("wanted", ["9999999", "-3", "abc", "1e3", "٣"])
def test_an_iteration_that_is_not_there_is_said(open_page: Opener, folders: dict[str, Path], wanted: str):
    app = open_page(folders["one"], "overview", it=wanted)
    assert faults(app) == []
    assert any("No iteration" in element.value for element in app.warning)


def test_a_task_that_is_not_there_is_said(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["one"], "overview", task="chess")
    assert any("No task named 'chess'" in element.value and "sentiment" in element.value for element in app.warning)


def test_the_buttons_move_over_saved_iterations(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["one"], "overview")
    slider = app.select_slider(key="it")
    last = slider.value
    app.button(key="it_back").click().run()
    assert app.select_slider(key="it").value < last
    app.button(key="it_on").click().run()
    assert app.select_slider(key="it").value == last


def test_a_shorter_run_clamps_the_iteration(open_page: Opener, folders: dict[str, Path], tmp_path: Path):
    long = write_run(tmp_path, **{**SMALL, "iterations": 120})
    short = write_run(tmp_path, **{**SMALL, "iterations": 60, "seed": 1})
    app = open_page(tmp_path, "overview", run=long.name, it="110")
    app.selectbox(key="run").select(short.name).run()
    assert faults(app) == [] and app.select_slider(key="it").value <= 60


def test_terms_of_a_method_of_ones_own_are_drawn(open_page: Opener, tmp_path: Path):
    run = write_run(tmp_path, **SMALL)
    table = pq.read_table(run / "metrics.parquet")
    for name in ("loss_ewc", "loss_<b>"):
        table = table.append_column(name, table["loss"])
    pq.write_table(table, run / "metrics.parquet")
    app = open_page(tmp_path, "overview", show="Losses")
    assert faults(app) == []
    assert app.segmented_control(key="term").options == ["loss", "loss_qa", "loss_gen", "loss_kl", "grad_norm", "loss_ewc"]
    app.segmented_control(key="term").set_value("loss_ewc").run()
    assert faults(app) == [] and any(
        json.loads(chart.proto.spec)["layout"]["yaxis"]["title"]["text"] == "loss_ewc" for chart in app.get("plotly_chart")
    )


def test_the_bundled_sample_runs_are_offered_and_open(open_page: Opener, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("workbench.app.store.SAMPLES", folders["one"])
    app = open_page(folders["none"], "overview")
    app.button(key="open_samples").click().run()
    assert faults(app) == []
    assert app.selectbox(key="run").value == next(folders["one"].iterdir()).name


def test_a_link_to_a_sample_run_opens_it(open_page: Opener, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("workbench.app.store.SAMPLES", folders["one"])
    name = next(folders["one"].iterdir()).name
    app = open_page(folders["none"], "forgetting", run=name)
    assert faults(app) == [] and app.selectbox(key="run").value == name


@pytest.mark.parametrize(("page", "says"), [("overview", "codes of the fit"), ("live", "codes of the fit: ")])
def test_the_gap_names_its_task_and_its_codes(open_page: Opener, folders: dict[str, Path], page: str, says: str):
    app = open_page(folders["one"], page)
    label = next(element.label for element in app.metric if "energy gap" in element.label)
    assert label.rpartition(": ")[2] in ("sentiment", "roles", "dialogue")
    assert says in (label if page == "live" else words(app))


def test_scores_of_a_subset_say_so(open_page: Opener, folders: dict[str, Path]):
    text = words(open_page(folders["one"], "overview"))
    assert "answers generated to the whole test set" in text and "fixed subset of the test set, with teacher forcing" in text
    assert "Mean teacher-forced match" in [element.label for element in open_page(folders["one"], "live").metric]


def test_a_fault_shows_an_id_and_no_trace(open_page: Opener, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("secret words from the data")

    monkeypatch.setattr("workbench.views.scores.forgetting.place", broken)
    app = open_page(folders["one"], "forgetting")
    assert len(app.error) == 1 and "RuntimeError" in app.error[0].value
    assert "secret words" not in words(app)
    assert "In numbers" in words(app), "the other panels stay"


def test_showing_runs_loads_no_heavy_library(folders: dict[str, Path]):
    script = f"""
import os, sys
os.environ["WORKBENCH_RUNS"] = {str(folders["one"])!r}
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(ROOT / "app.py")!r}, default_timeout=60).run()
for page in {PAGES!r}:
    app.switch_page(f"workbench/app/pages/{{page}}.py").run()
print(sorted({{"torch", "umap", "sklearn", "transformers"}} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, cwd=ROOT)
    assert found.stdout.strip().splitlines()[-1:] == ["[]"], found.stdout + found.stderr[-2000:]


def badges(app: AppTest) -> list[str]:
    return [str(element.value) for element in app.markdown if "badge[" in str(element.value)]


def test_f57_the_header_of_a_broken_run_says_broken_in_red(open_page: Opener, folders: dict[str, Path]):
    """It said 'finished', in green, above panels that could not be read."""
    found = " ".join(badges(open_page(folders["broken"], "energy")))
    assert "finished, but broken: eval.parquet" in found and ":red-badge" in found and ":green-badge" not in found
    assert ":green-badge" in " ".join(badges(open_page(folders["one"], "energy")))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_f80_a_run_that_diverged_is_marked_on_every_page_of_it(open_page: Opener, tmp_path: Path, value: float):
    """A loss of nan was dropped before it was tested."""
    run = write_run(tmp_path, **SMALL)
    table = pq.read_table(run / "metrics.parquet")
    losses = [value if at >= 40 else loss for at, loss in enumerate(table["loss"].to_pylist())]
    pq.write_table(table.set_column(table.column_names.index("loss"), "loss", [losses]), run / "metrics.parquet")
    for page in ("overview", "forgetting", "runs"):
        assert "diverged" in " ".join(badges(open_page(tmp_path, page)))
    assert "no finite number at 50 steps, first at iteration 41" in words(open_page(tmp_path, "overview", show="Health"))


def test_f59_a_picture_is_named_by_what_it_shows(open_page: Opener, folders: dict[str, Path]):
    """Every SVG was called plot-image.svg."""
    app = open_page(folders["one"], "forgetting")
    names = {json.loads(chart.proto.config)["toImageButtonOptions"]["filename"] for chart in app.get("plotly_chart")}
    assert len(names) == len(app.get("plotly_chart")) and all("20260102" in name for name in names)


@pytest.mark.parametrize("page", [name for name in PAGES if name not in ("runs", "live", "rate", "report")])
def test_the_code_of_a_page_runs_in_a_notebook(open_page: Opener, folders: dict[str, Path], page: str):
    """It named modules as `from workbench.views import scores.matrix`, which is no Python."""
    run = next(folders["one"].iterdir())
    app = open_page(folders["one"], page)
    code = next(element.value for element in app.code if "from workbench.runs.reader import Run" in element.value)
    assert f'Run("runs/{run.name}")' in code
    lines = code.replace(f'"runs/{run.name}"', repr(str(run))).splitlines()
    made: dict[str, object] = {}
    exec("\n".join(lines[:-1]), made)
    assert eval(lines[-1], made) is not None
