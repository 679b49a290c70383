"""The saved energy in numpy: hand values, finite differences, the torch side, pictures on slices, minima and barriers."""

from __future__ import annotations

from math import erf, exp, log, pi, sqrt

import numpy as np
import pytest

from tests.views.energy.latent_cases import arrays, energy, gaussians, header
from workbench.views.energy import histogram as energies
from workbench.views.energy import landscape, minima, slices
from workbench.views.energy.saved import MIXTURE, EnergyFileError, from_arrays
from workbench.views.energy.snapshots import Codes, at_or_before


def gelu(x: float) -> float:
    return x * 0.5 * (1 + erf(x / sqrt(2)))


def test_a_value_worked_out_by_hand():
    small = {"trunk.0.weight": [[1.0]], "trunk.0.bias": [0.0], "trunk.2.weight": [[1.0]], "trunk.2.bias": [0.0]}
    small |= {"trunk.4.weight": [[2.0]], "trunk.4.bias": [0.5], "reference.mean": [[1.0]], "reference.chol": [[[2.0]]]}
    found = from_arrays({name: np.array(value) for name, value in small.items()}, {"symbols": '["a"]', "sigma": "0.5"})
    z = np.array([[3.0]])  # w = (3 - 1) / 2 = 1
    f = 2 * gelu(gelu(1.0)) + 0.5
    assert found.neg_energy(z, "a")[0] == pytest.approx(f, abs=1e-12)
    assert found.reference_energy(z, "a")[0] == pytest.approx(1 / (2 * 0.25))
    assert found.energy(z, "a")[0] == pytest.approx(-f + 2.0, abs=1e-12)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("symbol", ["task1", MIXTURE])
def test_gradients_are_those_of_finite_differences(symbol: str, shared: bool):
    found = energy(shared=shared, sigma=0.8)
    z = np.random.default_rng(1).standard_normal((5, 6))
    value, grad = found.energy_and_grad(z, symbol)
    assert np.allclose(value, found.energy(z, symbol))
    for d in range(6):
        step = np.zeros(6)
        step[d] = 1e-5
        slope = (found.energy(z + step, symbol) - found.energy(z - step, symbol)) / 2e-5
        assert np.allclose(grad[:, d], slope, atol=1e-6)


def test_the_gradient_in_whitened_coordinates():
    found = energy()
    w = np.random.default_rng(2).standard_normal((4, 6))
    value, grad = found.energy_and_grad_w(w, "task2")
    assert np.allclose(value, found.energy(found.to_z(w, "task2"), "task2"))
    for d in range(6):
        step = np.zeros(6)
        step[d] = 1e-5
        up, down = found.energy_and_grad_w(w + step, "task2")[0], found.energy_and_grad_w(w - step, "task2")[0]
        assert np.allclose(grad[:, d], (up - down) / 2e-5, atol=1e-6)


def test_the_mixture_of_two_gaussians_is_minus_the_log_of_their_densities():
    found = gaussians([[-1.5, 0.0], [1.5, 0.0]], spread=0.7)
    z = np.random.default_rng(3).standard_normal((6, 2))

    def density(point: np.ndarray, mean: float) -> float:
        return exp(-((point[0] - mean) ** 2 + point[1] ** 2) / (2 * 0.49)) / (2 * pi * 0.49)

    constant = log(2 * pi)  # |chol| has the 0.49; the 2 pi of two dimensions is left out
    expected = [-log(density(point, -1.5) + density(point, 1.5)) - constant for point in z]
    assert np.allclose(found.energy(z, MIXTURE), expected)
    assert np.allclose(found.neg_energy(z, MIXTURE), log(2))  # F is a sum over tasks, the reference their mean
    assert list(found.owner(np.array([[-1.0, 0.0], [1.0, 0.0]]))) == [0, 1]


@pytest.mark.parametrize("reference", ["per_task", "isotropic"])
def test_the_same_as_the_energy_that_was_trained(reference: str):
    torch = pytest.importorskip("torch")
    latent = pytest.importorskip("workbench.latent.energy")
    saved, about = arrays(3, shared=reference == "isotropic", seed=4), header(3, 0.9, reference)
    trained = latent.LatentEnergy.from_safetensors_dict(
        {name: torch.tensor(value, dtype=torch.float32) for name, value in saved.items()}, about
    )
    trained = trained.double()
    tensors, metadata = trained.to_safetensors_dict()
    found = from_arrays({name: value.numpy() for name, value in tensors.items()}, metadata)
    z = torch.randn(7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for symbol in found.symbols:
        assert np.allclose(found.neg_energy(z.numpy(), symbol), trained.neg_energy(z, symbol).detach(), atol=1e-5)
        assert np.allclose(found.energy(z.numpy(), symbol), trained.energy(z, symbol).detach(), atol=1e-5)
        w = trained.to_w(z, symbol)
        assert np.allclose(found.to_w(z.numpy(), symbol), w, atol=1e-5)
        value, grad = trained.value_and_grad(symbol)(w)
        mine = found.energy_and_grad_w(w.numpy(), symbol)
        assert np.allclose(mine[0], value, atol=1e-5)
        assert np.allclose(mine[1], grad, atol=1e-5)
    logits = trained.symbol_logits(z).detach()
    if reference == "per_task":
        assert np.allclose(found.energy(z.numpy(), MIXTURE), -torch.logsumexp(logits, 1), atol=1e-5)
    else:  # the trained side leaves out log|det|, which is one constant here
        assert np.allclose(found.energy(z.numpy(), MIXTURE) - found.log_det[0], trained.energy(z, None).detach(), atol=1e-5)


def test_weights_that_cannot_be_an_energy_are_refused_in_words():
    whole = arrays(2)
    with pytest.raises(EnergyFileError, match=r"reference\.chol not in the file"):
        from_arrays({name: value for name, value in whole.items() if name != "reference.chol"}, header(2))
    with pytest.raises(EnergyFileError, match="names 3 symbols, the tensors hold 2"):
        from_arrays(whole, header(3))
    with pytest.raises(EnergyFileError, match="not finite"):
        from_arrays({**whole, "trunk.4.bias": np.array([np.nan, 0.0])}, header(2))
    with pytest.raises(ValueError, match="accepted: task0, task1"):
        from_arrays(whole, header(2)).energy(np.zeros((1, 6)), "task9")


@pytest.mark.parametrize("shared", [False, True])
def test_a_picture_holds_the_values_of_its_points(shared: bool):
    found = energy(shared=shared)
    codes = np.random.default_rng(5).standard_normal((30, 6))
    plane = slices.principal_plane(codes)
    xs, ys = slices.Range(-3, 3, -2, 4).axes(17)
    z = plane.lift(np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2))
    for symbol in ("task1", MIXTURE):
        for part, true in (("U", found.energy), ("F", found.neg_energy), ("reference", found.reference_energy)):
            drawn = slices.field(found, plane, xs, ys, part, symbol)
            assert drawn.shape == (17, 17)
            assert np.allclose(drawn.ravel(), true(z, symbol), atol=2e-4)
    apart = slices.each_field(found, plane, xs, ys)
    assert np.allclose(apart[2].ravel(), found.energy(z, "task2"), atol=2e-4)


def test_slices_go_where_they_say():
    rng = np.random.default_rng(6)
    codes = rng.standard_normal((40, 5))
    means = {"a": codes[0], "b": codes[1], "c": codes[2]}
    plane = slices.means_plane(means, codes)
    assert all(plane.distance(mean) < 1e-9 for mean in means.values())
    line = slices.points_plane(codes[3], codes[4], codes)
    assert max(line.distance(codes[3]), line.distance(codes[4])) < 1e-9
    for each in (plane, line, slices.principal_plane(codes), slices.dims_plane(codes, 1, 3)):
        assert np.allclose(each.axes @ each.axes.T, np.eye(2), atol=1e-9)
        xy = rng.standard_normal((4, 2))
        assert np.allclose(each.project(each.lift(xy)), xy)
    flat = np.concatenate([rng.standard_normal((40, 2)), np.zeros((40, 3))], axis=1)
    assert slices.principal_plane(flat).share == pytest.approx(1.0)
    assert 0.2 < slices.dims_plane(codes, 0, 1).share < 0.7


def test_few_codes_or_dimensions_still_give_a_slice():
    one = slices.principal_plane(np.ones((1, 4)))
    assert np.isfinite(one.project(np.zeros((2, 4)))).all()
    thin = slices.dims_plane(np.arange(3.0)[:, None], 0, 0)
    assert thin.project(np.array([[2.0]]))[0, 0] == pytest.approx(1.0)
    assert slices.extent(one, np.ones((1, 4))).x1 > slices.extent(one, np.ones((1, 4))).x0


def test_the_map_takes_clicks_through_its_grid_only():
    found = energy()
    codes = np.random.default_rng(7).standard_normal((20, 6))
    plane = slices.principal_plane(codes)
    where = slices.extent(plane, codes)
    values = slices.field(found, plane, *where.axes(81))
    figure = landscape.heatmap(values, where, plane, "U", slices.color_range([values]))
    probe = Codes(codes.astype(np.float32), np.zeros(20, int), ("<b>x</b>",), tuple(f"u{k}" for k in range(20)), 1)
    landscape.add_codes(figure, plane, probe, ["<b>x</b>"], texts={"u3": "<script>alert(1)</script>"})
    landscape.add_click_grid(figure, where, values, plane)
    grid = figure.data[-1]
    assert (len(grid.x), grid.opacity, grid.name) == (landscape.CLICK_POINTS**2, 0, landscape.CLICK_TRACE)
    assert figure.data[0].hoverinfo == "skip"
    at = int(np.argmin((grid.x - where.x1) ** 2 + (grid.y - where.y0) ** 2))
    assert grid.customdata[at] == pytest.approx(values[0, -1])
    written = figure.to_json()
    assert "<script>" not in written
    assert "<b>x" not in written


def test_compared_panels_share_a_colour_range_and_f_runs_the_other_way():
    found = energy()
    codes = np.random.default_rng(8).standard_normal((20, 6))
    plane = slices.principal_plane(codes)
    where = slices.extent(plane, codes)
    fields = slices.each_field(found, plane, *where.axes(41))
    figure = landscape.side_by_side(fields, found.symbols, where, plane, "U", slices.color_range(list(fields)))
    assert {trace.coloraxis for trace in figure.data if trace.type == "heatmap"} == {"coloraxis"}
    assert {trace.contours.coloring for trace in figure.data if trace.type == "contour"} == {"none"}
    assert not figure.layout.coloraxis.reversescale
    values = slices.field(found, plane, *where.axes(41), "F")
    assert landscape.heatmap(values, where, plane, "F", slices.color_range([values], "F")).layout.coloraxis.reversescale


def test_the_gap_is_samples_less_data():
    groups = {"data codes": np.array([1.0, 3.0]), "short-run samples": np.array([5.0, 6.0])}
    assert energies.gap(groups) == pytest.approx(3.5)
    assert np.isnan(energies.gap({"data codes": np.array([1.0])}))
    assert energies.histogram({}, symbol="a").layout.annotations


def test_minima_basins_and_barrier_of_two_gaussians():
    found = gaussians([[-3.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    starts, names = minima.starts_for(found, {}, count=10)
    reached = minima.find_minima(found, MIXTURE, starts)
    assert len(reached.z) == 2
    assert np.allclose(np.abs(reached.z[:, 0]), 3.0, atol=0.05)
    table = minima.basin_table(reached, names, found).set_index("region of")
    assert table.loc["task0", "from task0"] == 1.0
    assert table.loc["task0", "from task1"] == 0.0
    straight, relaxed = minima.paths_between(found, MIXTURE, found.mean[[0]], found.mean[[1]])
    # U at the middle is 9/2 - log 2, at a mean 0 - log(1 + e^-18): the straight way is the best one here.
    expected = 4.5 - log(2) + log(1 + exp(-18))
    assert minima.barrier(found.energy(straight[0], MIXTURE))[0] == pytest.approx(expected, abs=0.02)
    assert minima.barrier(found.energy(relaxed[0], MIXTURE))[0] == pytest.approx(expected, abs=0.05)


def test_a_relaxed_path_goes_round_a_hill():
    found = gaussians([[-3.0, 0.0], [3.0, 0.0], [0.0, 2.5]])
    straight, relaxed = minima.paths_between(found, MIXTURE, found.mean[[0]], found.mean[[1]])
    assert minima.barrier(found.energy(relaxed[0], MIXTURE))[0] < minima.barrier(found.energy(straight[0], MIXTURE))[0] - 0.3
    assert np.allclose(relaxed[0][[0, -1]], straight[0][[0, -1]])


def test_descent_never_climbs():
    found = energy()
    starts = 2 * np.random.default_rng(9).standard_normal((30, 6))
    ends, value, norm = minima.descend(found, MIXTURE, starts)
    assert (value <= found.energy(starts, MIXTURE) + 1e-9).all()
    assert np.median(norm) < 1e-2
    assert np.allclose(value, found.energy(ends, MIXTURE))


def test_the_nearest_saved_moment():
    assert at_or_before([10, 20], 15) == 10
    assert at_or_before([10, 20], 5) == 10
    assert at_or_before([], 5) is None
