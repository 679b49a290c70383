from __future__ import annotations

import errno
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from workbench.runs import ratings


def event(number: int, **fields: Any) -> dict[str, Any]:
    row = {
        "uid": f"u{number}",
        "sample_id": f"s{number}",
        "scale": "fluency",
        "kind": "rate",
        "value": number % 5 + 1,
        "t": float(number),
        "plan": "p",
    }
    return {**row, **fields}


def lines(run: Path, rater: str = "ana") -> list[dict[str, Any]]:
    return [json.loads(line) for line in ratings.rater_file(run, rater).read_text().splitlines()]


def test_events_are_on_disk_in_order_and_only_once(tmp_path: Path) -> None:
    first = ratings.append(tmp_path, "ana", [event(n) for n in range(10)])
    again = ratings.append(tmp_path, "ana", [event(n) for n in range(12)])
    assert (first.new, again.new, again.fault) == (10, 2, None)
    assert len(again.stored) == 12
    assert [line["uid"] for line in lines(tmp_path)] == [f"u{n}" for n in range(12)]
    assert all(line["rater"] == "ana" for line in lines(tmp_path))


def test_undo_and_later_answers_stand_and_nothing_is_erased(tmp_path: Path) -> None:
    ratings.append(tmp_path, "ana", [event(1, value=4), event(2, value=2), event(3, sample_id="s2", value=5, t=9.0)])
    ratings.append(tmp_path, "ana", [event(4, sample_id="s1", kind="undo", value=None, undoes="u1", t=10.0)])
    table = ratings.read_answers([tmp_path])[0]
    assert table.set_index("sample_id")["value"].to_dict() == {"s2": 5.0}
    assert len(lines(tmp_path)) == 4
    ratings.append(tmp_path, "ana", [event(5, sample_id="s2", kind="undo", value=None, undoes="u3", t=11.0)])
    assert ratings.read_answers([tmp_path])[0].set_index("sample_id")["value"].to_dict() == {"s2": 2.0}


def test_flags_notes_and_skips(tmp_path: Path) -> None:
    events = [
        event(1, kind="skip", value=None),
        event(2, sample_id="s1", kind="flag", value="copy", on=True),
        event(3, sample_id="s1", kind="flag", value="degenerate", on=True),
        event(4, sample_id="s1", kind="flag", value="degenerate", on=False),
        event(5, sample_id="s9", kind="note", value="<b>odd</b>"),
    ]
    ratings.append(tmp_path, "ana", events)
    table = ratings.read_answers([tmp_path])[0].set_index("sample_id")
    assert (table.loc["s1", "kind"], bool(table.loc["s1", "copy"]), bool(table.loc["s1", "degenerate"])) == ("skip", True, False)
    assert table.loc["s9", "note"] == "<b>odd</b>"
    assert table["value"].isna().all() and ratings.count(tmp_path) == 0


def test_repeats_and_controls_are_kept_apart(tmp_path: Path) -> None:
    ratings.append(
        tmp_path,
        "ana",
        [event(1, value=3), event(2, sample_id="s1", value=5, repeat=True), event(3, sample_id="s1", value=1, control=True)],
    )
    table = ratings.read_answers([tmp_path])[0]
    assert sorted(table["value"]) == [1.0, 3.0, 5.0]


def test_an_answer_outside_the_scale_does_not_count(tmp_path: Path) -> None:
    ratings.append(tmp_path, "ana", [event(1, value=900), event(2, value="high"), event(3, value=3.5)])
    assert ratings.read_answers([tmp_path])[0]["value"].isna().all()


@pytest.mark.parametrize("broken", [b'{"uid": "x", "sam', b"not json\n", b'[1, 2]\n{"uid": 3}\n'])
def test_a_torn_or_foreign_line_costs_nothing_else(tmp_path: Path, broken: bytes) -> None:
    ratings.append(tmp_path, "ana", [event(1)])
    with ratings.rater_file(tmp_path, "ana").open("ab") as file:
        file.write(broken)
    assert ratings.append(tmp_path, "ana", [event(2)]).fault is None
    events, faults = ratings.read(tmp_path)
    assert list(events["uid"]) == ["u1", "u2"]
    assert faults and all(fault.startswith("ratings/ana.jsonl line") for fault in faults)


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    ratings.append(tmp_path, "ana", [event(1)])

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(f"workbench.runs.{'ratings' if call == 'fsync' else 'files'}.os.{call}", full)
        saved = ratings.append(tmp_path, "ana", [event(1), event(2)])
    assert saved.fault == "The answers could not be saved: No space left on device."
    assert saved.stored == {"u1"} and len(lines(tmp_path)) == 1
    assert ratings.append(tmp_path, "ana", [event(1), event(2)]).new == 1
    assert [line["uid"] for line in lines(tmp_path)] == ["u1", "u2"]


def test_what_cannot_be_stored_is_told_never_raised(tmp_path: Path) -> None:
    assert "kind" in (ratings.append(tmp_path, "ana", [event(1, kind="delete")]).fault or "")
    assert "uid" in (ratings.append(tmp_path, "ana", [{"sample_id": "s"}]).fault or "")
    assert "gone" in (ratings.append(tmp_path / "no-run", "ana", [event(1)]).fault or "")
    assert ratings.append(tmp_path, "  ", [event(1)]).fault
    assert not (tmp_path / "no-run").exists()


def test_a_link_out_of_the_run_is_not_followed(tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    run.mkdir(), outside.mkdir()
    (run / "ratings").symlink_to(outside)
    assert "link" in (ratings.append(run, "ana", [event(1)]).fault or "")
    assert not list(outside.iterdir()) and ratings.files(run) == []
    (run / "ratings").unlink()
    (run / "ratings").mkdir()
    (run / "ratings" / "ana.jsonl").symlink_to(outside / "target.jsonl")
    assert "link" in (ratings.append(run, "ana", [event(1)]).fault or "")
    assert not list(outside.iterdir())


@pytest.mark.parametrize("names", [("ana b", "ana-b"), ("李", "山"), ("../../etc/passwd", "etc-passwd"), ("a" * 60, "a" * 50)])
def test_raters_never_share_a_file_nor_leave_the_folder(tmp_path: Path, names: tuple[str, str]) -> None:
    found = [ratings.rater_file(tmp_path, name) for name in names]
    assert found[0] != found[1]
    for name, file in zip(names, found, strict=True):
        assert file.parent == tmp_path / "ratings" and len(file.name) < 80
        assert ratings.append(tmp_path, name, [event(1, uid=name)]).new == 1
    assert set(ratings.read(tmp_path)[0]["rater"]) == set(names)


def _many(run: str, start: int) -> None:
    for number in range(start, start + 20):
        ratings.append(Path(run), "ana", [event(number), event(0)])


def test_two_processes_of_one_rater_keep_every_event(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_many, args=(str(tmp_path), start)) for start in (1, 101)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    found = [line["uid"] for line in lines(tmp_path)]
    assert len(found) == len(set(found)) == 41


def test_times_may_be_words(tmp_path: Path) -> None:
    ratings.append(
        tmp_path,
        "ana",
        [event(1, sample_id="s", value=1, t="2026-01-02T00:00:00Z"), event(2, sample_id="s", value=5, t="2026-01-01T00:00:00Z")],
    )
    assert ratings.read_answers([tmp_path])[0]["value"].tolist() == [1.0]
