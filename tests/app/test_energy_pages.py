"""Energy, Chains and Latent map through AppTest: states, deep links, picked points, the bench, one chain and one step."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import ROOT, SMALL, Opener, faults, words
from workbench.app import latent_space, sampler_bench
from workbench.runs.synthetic import write_run
from workbench.views.energy.snapshots import Chains, Codes


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without energies, codes or chains."""
    root = tmp_path_factory.mktemp("bare")
    run = write_run(root, **SMALL)
    for folder in ("weights", "latents", "chains"):
        shutil.rmtree(run / folder)
    return root


def figures(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


@pytest.mark.parametrize("page", ["energy", "chains", "latent_map"])
def test_nothing_recorded_says_what_to_set(open_page: Opener, bare: Path, page: str):
    app = open_page(bare, page)
    assert not faults(app)
    assert "saved no" in words(app)
    assert not figures(app)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"part": "F", "of": "this task"},
        {"part": "reference", "of": "each task"},
        {"slice": "task means"},
        {"slice": "dimensions", "dimx": "2", "dimy": "5"},
        {"slice": "two points", "from": "chain start", "to": "chain end"},
        {"view": "3D", "cam": "Top"},
        {"vs": "30"},
        {"color": "picture", "axes": "now", "grid": "41", "zoom": "2.0"},
        {"which": "answer energy"},
        {"it": "30", "task": "roles", "of": "this task"},
    ],
    ids=lambda query: ",".join(f"{key}={value}" for key, value in query.items()) or "default",
)
def test_every_way_to_look_at_the_energy(open_page: Opener, folders: dict[str, Path], query: dict[str, str]):
    app = open_page(folders["one"], "energy", **query)
    assert not faults(app)
    assert figures(app)
    for key, value in query.items():  # a value that the page does not know would be dropped without a word
        if key not in ("it", "task"):
            assert str(app.session_state[key]) == value


def test_the_caption_names_the_slice_and_its_share(open_page: Opener, folders: dict[str, Path]):
    read = words(open_page(folders["one"], "energy"))
    assert "8-D energy U (U in nats: lower = more probable), mixture over all tasks" in read
    assert "principal components 1 and 2 of the codes" in read
    assert "% of probe variance in the plane" in read


def test_the_gap_is_that_of_the_picture_beside_it(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["one"], "energy", task="roles")
    metric = next(element for element in app.metric if element.label == "Energy gap of roles")
    histogram = next(figure for figure in figures(app) if any("data codes" in (trace.get("name") or "") for trace in figure["data"]))
    data = next(trace["x"] for trace in histogram["data"] if "data codes" in trace["name"])
    samples = histogram["layout"]["shapes"][0]["x0"]  # the line at their mean; codes as few as these are ticks
    assert float(metric.value.split()[0]) == pytest.approx(samples - np.mean(data), abs=0.006)
    assert "On the codes of the fit of roles, as measured during the run: +0.1" in words(app)


def test_three_dimensions_keep_axes_and_camera_over_iterations(open_page: Opener, folders: dict[str, Path]):
    one, two = (figures(open_page(folders["one"], "energy", view="3D", cam="Front", it=at))[0]["layout"] for at in ("60", "90"))
    for name in ("camera", "xaxis", "yaxis", "zaxis"):
        assert one["scene"][name] == two["scene"][name]
    assert one["coloraxis"]["cmin"] == two["coloraxis"]["cmin"]


def test_a_point_in_the_link_is_shown_with_its_texts(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["one"], "energy", at="0.5, -0.25")
    assert not faults(app)
    assert "PC 1 0.500, PC 2 -0.250" in words(app)
    assert "Nearest real code" in words(app)
    assert "Nearest replay text" in words(app)
    assert "1.000" not in words(open_page(folders["one"], "energy", at="nonsense"))


@pytest.mark.parametrize("kernel", ["ULA", "MALA", "wrong sign"])
def test_the_bench_runs_every_kernel(open_page: Opener, folders: dict[str, Path], kernel: str):
    app = open_page(folders["one"], "energy", detail="Sampler bench", kernel=kernel, k="12", n="6")
    assert not faults(app)
    bench = figures(app)[-1]
    assert len(bench["frames"]) == 13
    assert ("goes UP the energy" in words(app)) == (kernel == "wrong sign")
    assert "kept no weights of its language model" in words(app)


def test_a_bench_from_a_point_asks_for_one(open_page: Opener, folders: dict[str, Path]):
    assert "No point is picked" in words(open_page(folders["one"], "energy", detail="Sampler bench", start="picked point"))
    app = open_page(folders["one"], "energy", detail="Sampler bench", start="picked point", at="code:sentiment-3", n="3")
    assert not faults(app)
    assert len(figures(app)) == 3


@pytest.mark.parametrize("tab", ["Minima and barriers", "Moments"])
def test_the_other_tabs_of_energy(open_page: Opener, folders: dict[str, Path], tab: str):
    app = open_page(folders["one"], "energy", detail=tab)
    assert not faults(app)
    assert len(figures(app)) == 3


def test_the_fit_of_every_moment_is_a_table(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["one"], "energy", detail="Fit")
    assert not faults(app)
    assert "f_gap" in app.dataframe[-1].value and app.dataframe[-1].value["f_gap"].notna().any()


@pytest.mark.parametrize("tab", ["Traces", "Ranks", "Diagnostics", "Short and long", "Table"])
def test_every_tab_of_chains(open_page: Opener, folders: dict[str, Path], tab: str):
    run = next(folders["one"].iterdir())
    task = sorted(path.stem.split("_")[1] for path in (run / "chains").glob("*.safetensors"))[0]
    app = open_page(folders["one"], "chains", task=task, tab=tab, chain="5", t="7")
    assert not faults(app)
    names = [trace.get("name") for trace in figures(app)[0]["data"]]
    assert {"chain 5", "step 7"} <= set(names)
    if tab == "Diagnostics":
        assert "plain R-hat is not informative" in words(app)


def test_a_chain_or_step_beyond_the_last_is_the_last(open_page: Opener, folders: dict[str, Path]):
    run = next(folders["one"].iterdir())
    task = sorted(path.stem.split("_")[1] for path in (run / "chains").glob("*.safetensors"))[0]
    app = open_page(folders["one"], "chains", task=task, chain="999", t="999")
    assert not faults(app)


def test_a_task_without_chains_offers_the_others(open_page: Opener, folders: dict[str, Path]):
    run = next(folders["one"].iterdir())
    have = {path.stem.split("_")[1] for path in (run / "chains").glob("*.safetensors")}
    without = next(task for task in ("sentiment", "roles", "dialogue") if task not in have) if len(have) < 3 else None
    if without is None:
        pytest.skip("every task of this run has chains")
    app = open_page(folders["one"], "chains", task=without)
    assert f"No chains of {without}" in words(app)
    next(button for button in app.button if button.label.startswith("Show ")).click().run()
    assert not faults(app)
    assert figures(app)


def test_the_step_keys_stop_at_both_ends(open_page: Opener, folders: dict[str, Path]):
    run = next(folders["one"].iterdir())
    task = sorted(path.stem.split("_")[1] for path in (run / "chains").glob("*.safetensors"))[0]
    app = open_page(folders["one"], "chains", task=task, t="1")
    app.button(key="t_back").click().run()
    assert app.slider(key="t").value == 0
    assert app.button(key="t_back").disabled
    app.button(key="t_on").click().run()
    assert app.slider(key="t").value == 1


def test_the_map_says_how_many_it_shows_and_searches(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["one"], "latent_map", by="energy")
    assert not faults(app)
    assert "points shown of" in words(app)
    app.text_input(key="find").set_value("code:sentiment-3").run()
    assert not faults(app)
    assert "1 match 'code:sentiment-3'" in words(app)


def test_a_selection_is_kept_by_id_and_lists_neighbours(open_page: Opener, folders: dict[str, Path]):
    app = open_page(folders["one"], "latent_map")
    app.session_state["picked_ids"] = ["code:roles-2"]
    app.run()
    assert not faults(app)
    assert "1 selected" in words(app)
    assert len(app.dataframe[0].value) == 10
    app.session_state["picked_ids"] = ["code:roles-2", "code:roles-3", "gone:1"]
    app.run()
    assert "2 selected" in words(app)


def test_hostile_texts_stay_texts(open_page: Opener, folders: dict[str, Path]):
    hostile = sorted(path.name for path in folders["many"].iterdir())[-1]
    for page in ("energy", "chains", "latent_map"):
        app = open_page(folders["many"], page, run=hostile, at="chain:0")
        assert not faults(app)
        assert all("<script" not in chart.proto.spec for chart in app.get("plotly_chart"))
        assert all("<script" not in element.value for element in app.markdown)


def test_torch_stays_out(open_page: Opener, folders: dict[str, Path]):
    import subprocess

    code = "import workbench.app.latent_space, workbench.app.sampler_bench, workbench.views.energy.landscape, workbench.views.energy.latent_map, sys; "
    code += "print([name for name in ('torch', 'umap', 'sklearn') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_points_by_name():
    codes = Codes(np.eye(2, dtype=np.float32), np.zeros(2, int), ("a",), ("u0", "u1"), 1)
    z = np.arange(8.0, dtype=np.float32).reshape(2, 2, 2)
    walk = Chains(z, z[..., 0], z[..., 0], z[1:, :, 0], "a", 1, "ula", 0.4)
    assert latent_space.point_named("code:u1", None, codes, walk) == pytest.approx([0, 1])
    assert latent_space.point_named("chain:1", None, codes, walk) == pytest.approx([6, 7])
    assert latent_space.point_named("start:1", None, codes, walk) == pytest.approx([2, 3])
    for wrong in ("chain:7", "code:none", "1,2,3", "nan, 1", "../../etc", ""):
        assert latent_space.point_named(wrong, None, codes, walk) is None


def test_clicks_name_what_was_hit():
    def event(**point: object) -> dict:
        return {"selection": {"points": [point]}}

    assert latent_space.clicked_name(event(x=1.25, y=-2.0, customdata=[3.4])) == "1.250, -2.000"
    assert latent_space.clicked_name(event(x=1.0, y=2.0, customdata="code:u1")) == "code:u1"
    assert latent_space.clicked_name(event(x=1.0, y=2.0, customdata=["chain:4"])) == "chain:4"
    assert latent_space.clicked_name({"selection": {"points": []}}) == ""
    assert latent_space.clicked_name(None) == ""


def test_decoded_texts_are_read_from_what_the_command_prints():
    assert sampler_bench.read_texts('loading\n[{"text": "a"}, {"text": "b"}]') == (["a", "b"], "")
    assert "no list of texts" in sampler_bench.read_texts("[1, 2")[1]
    assert "No texts" in sampler_bench.read_texts("nothing")[1]
    assert sampler_bench.read_texts('[{"other": 1}]')[0] == []


def test_decoding_reports_what_went_wrong(tmp_path: Path):
    texts, fault = sampler_bench.decode(tmp_path / "no run here", "a", np.zeros((1, 2)))
    assert texts == []
    assert fault


def test_f55_without_weights_the_bench_shows_the_nearest_texts_of_the_run(open_page: Opener):
    """'Decode the ends' was dead in every run that comes with the project."""
    app = open_page(
        ROOT / "data" / "runs", "energy", run="20261126-191921_lsebmcl_s0", task="dialogue", it="864", detail="Sampler bench", n="4"
    )
    text = words(app)
    assert faults(app) == [] and "kept no weights" in text and "nearest texts that the run itself decoded" in text
    samples = pd.read_parquet(ROOT / "data" / "runs" / "20261126-191921_lsebmcl_s0" / "samples.parquet")
    own = set(samples[(samples["iteration"] == 864) & (samples["task"] == "dialogue")]["text"])
    assert sum(element.value in own for element in app.text) == 4
