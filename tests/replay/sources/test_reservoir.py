from __future__ import annotations

import pytest
import torch

from workbench.replay.sample import ReplaySample, replay_count
from workbench.replay.sources.reservoir import Reservoir
from workbench.tasks.example import Example


def examples(task: str, n: int, start: int = 0) -> list[Example]:
    return [Example(task, str(number), f"context {number}", "question?", ("answer",)) for number in range(start, start + n)]


def test_every_item_of_the_stream_is_as_likely_to_be_kept() -> None:
    kept = torch.zeros(100)
    for seed in range(400):
        generator, buffer = torch.Generator().manual_seed(seed), Reservoir(10)
        for start in range(0, 100, 20):
            buffer.add(examples("a", 20, start), generator)
        assert len(buffer.items) == 10
        for item in buffer.items:
            kept[int(item.uid)] += 1
    # 400 draws of probability 0.1: mean 40, deviation 6; the five parts of the stream pool 20 items each.
    for part in kept.view(5, 20).sum(1):
        assert abs(float(part) - 800) < 4 * (400 * 20 * 0.1 * 0.9) ** 0.5


def test_it_refuses_what_was_generated() -> None:
    fake = ReplaySample("a", "c", "q", "a", "energy", "kept", 1, 0)
    with pytest.raises(TypeError, match=r"ReplaySample.*real examples only"):
        Reservoir(5).add([fake], torch.Generator())  # pyright: ignore[reportArgumentType]


def test_draw_gives_a_task_without_repeats_until_it_must_repeat() -> None:
    generator, buffer = torch.Generator().manual_seed(0), Reservoir(100)
    buffer.add(examples("a", 5) + examples("b", 3, 50), generator)
    drawn = [sample.text for sample in buffer.draw("a", 5, generator)]
    assert sorted(drawn) == ["0", "1", "2", "3", "4"]
    assert len(buffer.draw("b", 7, generator)) == 7
    assert buffer.draw("c", 4, generator) == []
    assert {sample.origin for sample in buffer.draw(None, 8, generator)} == {"real"}


def test_state_goes_round() -> None:
    generator, buffer, other = torch.Generator().manual_seed(0), Reservoir(4), Reservoir(4)
    buffer.add(examples("a", 9), generator)
    other.load_state_dict(buffer.state_dict())
    assert other.items == buffer.items
    assert other.seen == 9


@pytest.mark.parametrize(
    ("gamma", "new", "past", "each"),
    [
        (0.05, 2536, 2, 63),
        (0.2, 1000, 1, 200),
        (0.2, 1000, 3, 66),
        (0.2, 1000, 4, 50),
        (0.05, 6920, 0, 0),
        (0.0, 500, 2, 0),
        (0.1, 30, 3, 1),
    ],
)
def test_gamma_counts_as_lamol_does(gamma: float, new: int, past: int, each: int) -> None:
    """0.05 * 2,536 is 126.8: 127 samples, 126 after the remainder of two past tasks, 63 each."""
    assert replay_count(gamma, new, past) == each
