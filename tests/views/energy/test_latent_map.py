"""The latent map: rows with stable ids, an even thinning, search, neighbours, and texts that stay texts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.views.energy import latent_map as latents
from workbench.views.energy.snapshots import Chains, Codes


@pytest.fixture
def codes() -> Codes:
    z = np.arange(12, dtype=np.float32).reshape(6, 2)
    return Codes(z, np.array([0, 0, 0, 1, 1, 1]), ("a", "b"), tuple(f"u{k}" for k in range(6)), 40)


@pytest.fixture
def walk() -> Chains:
    z = np.stack([np.zeros((3, 2)), np.array([[0.1, 1.1], [20.0, 20.0], [30.0, 30.0]])]).astype(np.float32)
    return Chains(z, np.ones((2, 3), np.float32), np.ones((2, 3), np.float32), np.ones((1, 3), np.float32), "a", 40, "ula", 0.4)


def test_draws_spread_about_the_means_as_the_encoder_said(codes: Codes):
    wide = Codes(np.zeros((4000, 2), np.float32), np.zeros(4000, int), ("a",), (), 1, np.full((4000, 2), np.log(0.25), np.float32))
    assert wide.draws("a").std() == pytest.approx(0.5, rel=0.03)
    np.testing.assert_array_equal(wide.draws("a"), wide.draws("a"))
    np.testing.assert_array_equal(codes.draws("b"), codes.of("b"))  # no variances were saved
    assert len(wide.draws("unknown")) == 0


SAMPLES = pd.DataFrame({
    "iteration": [40, 40], "task": ["a", "a"], "chain": [0, 1], "text": ["<img src=x onerror=alert(1)>", "the second"],
    "sample_id": ["s0", "s1"], "verdict": ["kept", "duplicate"],
})  # fmt: skip


def test_rows_have_stable_ids_texts_and_ratings(codes: Codes, walk: Chains):
    frame, z = latents.points(codes, [walk], SAMPLES, {"u1": "a real text"}, {"s1": 4.5})
    assert z.shape == (9, 2)
    rows = frame.set_index("id")
    assert rows.loc["code:u1", "text"] == "a real text"
    assert rows.loc["code:u0", "text"] == "u0"  # no text at hand: the uid is shown
    assert rows.loc["chain:40:a:1", "rating"] == 4.5
    assert rows.loc["chain:40:a:2", "verdict"] == "not decoded"


def test_thinning_keeps_the_share_of_every_task():
    frame = pd.DataFrame({"task": ["a"] * 9000 + ["b"] * 900 + ["c"] * 3, "origin": ["real"] * 9903})
    kept = frame.iloc[latents.thinned(frame, 1000)]
    counts = kept["task"].value_counts()
    assert len(kept) <= 1000
    assert counts["a"] / counts["b"] == pytest.approx(10, rel=0.05)
    assert counts["c"] >= 1
    assert latents.shown_words(1000, 9903) == "1,000 points shown of 9,903, stratified by task and origin"
    assert len(latents.thinned(frame)) == 9903


def test_search_is_plain_text(codes: Codes, walk: Chains):
    frame, _ = latents.points(codes, [walk], SAMPLES, {"u2": "a (b) [c"}, {})
    assert latents.matches(frame, "(b) [C").sum() == 1
    assert latents.matches(frame, "").all()
    assert not latents.matches(frame, "nowhere").any()


def test_neighbours_are_the_nearest_of_each_origin(codes: Codes, walk: Chains):
    frame, z = latents.points(codes, [walk], SAMPLES, {}, {})
    found = latents.neighbours(frame, z, 0, count=2)
    assert list(found["id"]) == ["code:u1", "code:u2", "chain:40:a:0", "chain:40:a:1"]
    assert found["distance"].iloc[2] == pytest.approx(np.hypot(0.1, 0.1), rel=1e-4)


@pytest.mark.parametrize("coloring", list(latents.COLORINGS))
def test_texts_stay_texts_in_every_colouring(codes: Codes, walk: Chains, coloring: str):
    frame, z = latents.points(codes, [walk], SAMPLES, {}, {"s0": 3.0})
    figure = latents.draw(frame, z, ["a", "b"], coloring=coloring, highlighted=latents.matches(frame, "u"), picked=2)
    assert "<img" not in figure.to_json()
    drawn = [key for trace in figure.data if trace.customdata is not None for key in trace.customdata]
    assert sorted(drawn) == sorted(frame["id"])


def test_a_saved_umap_is_joined_by_uid(codes: Codes, walk: Chains):
    frame, _ = latents.points(codes, [walk], SAMPLES, {}, {})
    saved = pd.DataFrame({"uid": ["u3", "u0"], "x": [1.0, 2.0], "y": [3.0, 4.0]})
    xy = latents.umap_xy(saved, frame)
    assert xy is not None
    assert list(xy[0]) == [2.0, 4.0]
    assert np.isnan(xy[1]).all()
    assert latents.umap_xy(saved.drop(columns="y"), frame) is None


def test_f11_draws_lie_where_chains_of_the_same_law_lie_and_means_do_not():
    """Means of q(z|x) beside chain ends make the sampler seem to overshoot: mean U 5.8 against 17.2, where draws have 16.2."""
    rng = np.random.default_rng(1)
    means = 0.5 * rng.standard_normal((400, 6)).astype(np.float32)
    codes = Codes(means, np.zeros(400, np.int64), ("a",), tuple(map(str, range(400))), 1, np.full((400, 6), np.log(0.75), np.float32))
    drawn = codes.as_draws()
    assert drawn.drawn and drawn.z.var() == pytest.approx(1.0, abs=0.06) and codes.z.var() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(drawn.draws("a"), codes.draws("a").astype(np.float32))
    assert drawn.as_draws() is drawn and Codes(means, codes.task_index, ("a",), codes.uids, 1).as_draws().drawn is False
