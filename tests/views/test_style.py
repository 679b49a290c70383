"""Thinning keeps spikes, smoothing starts where the data start, colours follow the task."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from workbench.views import style
from workbench.views.studies import compare


def test_thinning_keeps_every_spike_and_both_ends():
    values = np.zeros(100_000)
    spikes = [17, 40_123, 99_998]
    values[spikes] = [5, -7, 9]
    kept = style.thin(np.arange(100_000), values, 500)
    assert set(spikes) <= set(kept) and {0, 99_999} <= set(kept)
    assert len(kept) <= 502 and np.all(np.diff(kept) > 0)


def test_thinning_leaves_short_curves_and_drops_gaps():
    assert style.thin([0, 1, 2], [1.0, np.nan, 3.0]).tolist() == [0, 2]


def test_smoothing_is_not_biased_at_its_start():
    smoothed = style.smooth(np.full(50, 80.0), 0.9)
    np.testing.assert_allclose(smoothed, 80.0)
    assert style.smooth([10.0, 20.0], 0.5).tolist() == pytest.approx([10.0, (20 + 0.5 * 10) / 1.5])
    assert style.smooth([1.0, 5.0], 0).tolist() == [1.0, 5.0]


def test_task_colours_repeat_with_another_dash():
    assert style.task_color(0) == style.task_color(8) and style.task_dash(0) != style.task_dash(8)
    assert style.task_color(7, dark=True) != "#000000", "black lines would vanish on dark paper"


def test_dress_changes_the_template_only():
    figure = style.dress(go.Figure(), dark=True, height=300)
    assert figure.layout.template.layout.font.color == style.INK[True] and figure.layout.height == 300


def test_f61_no_colour_means_a_task_and_something_else():
    for dark, tasks, others in ((False, style.OKABE_ITO, style.TOL_MUTED), (True, style.OKABE_ITO_DARK, style.TOL_MUTED_DARK)):
        assert not set(tasks) & set(others) and len(set(others)) == 8
        groups = [compare.Group(str(n), str(n), []) for n in range(8)]
        assert not set(compare.colors_of(groups, dark).values()) & set(tasks)
