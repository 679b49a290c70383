"""`workbench report RUN...`: one self-contained HTML file that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench.runs.files import atomic_path, write_bytes
from workbench.runs.reader import Run
from workbench.runs.schema import RunError
from workbench.views.studies import report


def write_report(run_paths: Sequence[Path], out: Path | None = None, panels: Sequence[str] | None = None) -> Path:
    """Write the report of one run or several and return its path; default: report-NAME.html in the present folder.

    panels: names of `report.PANELS` and `report.COMPARISON`, None for all. Raises RunError for a path that is no run, an
    unknown panel, or a file that cannot be written.
    """
    if not run_paths:
        raise RunError("report: no run was named; accepted: one run folder or more")
    known = [panel.name for panel in (*report.PANELS, *report.COMPARISON)]
    unknown = [name for name in panels or [] if name not in known]
    if unknown:
        raise RunError(f"report: no panel named {unknown[0]!r}; accepted: {', '.join(known)}")
    runs = [Run(Path(path)) for path in run_paths]
    for run in runs:
        if not (run.path / "run.json").exists():
            raise RunError(f"{run.path}: no run folder (run.json is missing)")
        _ = run.info
    target = Path(out) if out is not None else Path(f"report-{runs[0].name}{f'-and-{len(runs) - 1}-more' if len(runs) > 1 else ''}.html")
    if not target.parent.is_dir():
        raise RunError(f"{target}: no folder {target.parent}; accepted: a file in a folder that exists")
    content = report.page(runs, panels).encode("utf-8", "replace")
    try:
        with atomic_path(target) as temporary:
            write_bytes(temporary, content)
    except OSError as error:
        raise RunError(f"{target}: cannot be written ({error.strerror})") from None
    return target
