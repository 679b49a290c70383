from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest

from workbench.cli.report import write_report
from workbench.runs import ratings
from workbench.runs.reader import Run
from workbench.runs.schema import RunError
from workbench.runs.synthetic import write_run
from workbench.views.studies import report
from workbench.views.studies.report_html import Chapter, Part, Text, document, figure_html, table_html

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e"


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    small = {"tasks": 3, "iterations": 60, "chains": 3, "chain_count": 4, "texts": 6, "latents": 8, "hidden": 4, "dim": 4}
    return [write_run(root, seed=seed, hostile=seed == 1, name=f"r{seed}", **small) for seed in (0, 1)]  # pyright: ignore[reportArgumentType]


def test_one_file_that_needs_no_network(paths: list[Path], tmp_path: Path) -> None:
    target = write_report(paths, tmp_path / "report.html")
    text = target.read_text(encoding="utf-8")
    assert text.count("plotly.js v") == 1 and len(text) < 12e6
    outside = re.sub(r"<script>.*?</script>", "", text, count=1, flags=re.DOTALL)
    assert not re.search(r"<(script|link|img|iframe|source)[^>]+(src|href)=[\"'](?!data:|#)", outside)
    assert "default-src 'none'" in outside
    for panel in (*report.PANELS, *report.COMPARISON):
        assert f">{panel.title}</h3>" in outside
    assert "could not be made" not in outside
    assert all(Run(path).name in outside for path in paths)


def test_hostile_texts_are_text(paths: list[Path]) -> None:
    text = report.page([Run(paths[1])], ["texts", "config"])
    body = text.split("<body>", 1)[1]
    assert "<script>alert" not in body and "onerror=" not in re.sub(r"&lt;.*?&gt;", "", body)
    assert "\u202e" not in body and "\x00" not in body
    table = table_html(pd.DataFrame({HOSTILE: [HOSTILE, None, 1.5]}))
    assert "<script" not in table and "<img" not in table and "⟨U+202E⟩" in table
    figure = figure_html(go.Figure(go.Scatter(x=[1], y=[1], text=[HOSTILE], name=HOSTILE)), "f")
    assert figure.count("</script>") == figure.count("<script") and "<img" not in figure
    page = document(
        HOSTILE, HOSTILE, [Chapter("a", HOSTILE, HOSTILE, [Part("b", HOSTILE, HOSTILE, [Text(HOSTILE), Text(HOSTILE, "code", HOSTILE)])])]
    )
    assert "<img" not in page.split("<body>", 1)[1]


def test_only_the_ticked_panels(paths: list[Path]) -> None:
    text = report.page([Run(paths[0])], ["config"])
    assert ">Configuration</h3>" in text and ">Chains</h3>" not in text


def test_ratings_are_in_it(paths: list[Path]) -> None:
    samples = Run(paths[0]).table("samples")["sample_id"]
    for rater in ("ana", "ben"):
        lines = [
            {"uid": f"{rater}{at}", "sample_id": name, "scale": "fluency", "value": at % 5 + 1, "t": float(at)}
            for at, name in enumerate(samples)
        ]
        ratings.append(paths[0], rater, lines)
    text = report.page([Run(paths[0])], ["ratings"])
    assert "quadratic-weighted kappa" in text and ">ana<" in text


def test_a_broken_panel_leaves_the_others(tmp_path: Path) -> None:
    path = write_run(tmp_path, tasks=2, iterations=40, chains=2, chain_count=2, texts=2, latents=4, hidden=4, dim=4, status="broken")
    text = report.page([Run(path)], ["curves", "config"])
    assert "could not be made" in text and ">Configuration</h3>" in text and str(tmp_path) not in text


@pytest.mark.parametrize("case", ["no run", "not a run", "panel", "folder"])
def test_faults_are_sentences(paths: list[Path], tmp_path: Path, case: str) -> None:
    with pytest.raises(RunError, match=r"report|run"):
        if case == "no run":
            write_report([])
        elif case == "not a run":
            write_report([tmp_path])
        elif case == "panel":
            write_report(paths[:1], tmp_path / "x.html", ["nope"])
        else:
            write_report(paths[:1], tmp_path / "run" / ".." / "nothing" / "\0".replace("\0", "x" * 300), ["config"])


def test_a_folder_that_does_not_exist_is_not_made(paths: list[Path], tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"x\.html: no folder .*nope; accepted: a file in a folder that exists"):
        write_report(paths[:1], tmp_path / "nope" / "x.html", ["config"])
    assert not (tmp_path / "nope").exists()


def test_no_path_of_this_machine_is_in_it(paths: list[Path]) -> None:
    text = report.page([Run(paths[0])], ["config", "environment"])
    assert str(paths[0].parent) not in text
    assert json.dumps(str(Path.home())) not in text
