"""Commands that compute: train, resume, sample, pretrain."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.options import RUNS, AsJson, DataFolder, RunName, RunsFolder, existing_data, find, print_json, print_rows
from workbench.config import CONTROLS, ConfigError, assign, build, from_yaml, method_names

METHODS = ", ".join([*method_names(), *CONTROLS])


def register(app: typer.Typer) -> None:
    app.command()(train)
    app.command()(resume)
    app.command()(sample)
    app.command()(pretrain)


def train(
    config: Annotated[Path | None, typer.Argument(help="YAML file of settings; flags stand over it.", show_default="the defaults")] = None,
    stream: Annotated[
        str | None,
        typer.Option(
            help="bundled, bundled20, some of their tasks (bundled20:taxi,hotel), published names (sst,qasrl,woz), hub:NAMES, or own:NAMES."
        ),
    ] = None,
    method: Annotated[str | None, typer.Option(help=f"One of {METHODS}.")] = None,
    backbone: Annotated[str | None, typer.Option(help="bundled, a local folder, or a causal model id of the hub.")] = None,
    data: DataFolder = None,
    seed: Annotated[int | None, typer.Option(help="The seed all randomness is made from.")] = None,
    order: Annotated[str | None, typer.Option(help="Task order: names or 1-based numbers joined by commas.")] = None,
    gamma: Annotated[float | None, typer.Option(help="Replay ratio, as LAMOL counts it.")] = None,
    out: Annotated[Path, typer.Option("--out", "--runs", envvar="WORKBENCH_RUNS", help="Folder the run's folder is made in.")] = RUNS,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    name: Annotated[str | None, typer.Option(help="Short name at the end of the run's folder name.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting, as section.key=value; may be repeated.", metavar="KEY=VALUE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a method on a stream of tasks, one after the other, into a run folder.

    Examples:

      workbench train                                   LSEBMCL on the bundled stream

      workbench train --method lamol --seed 1

      workbench train --stream sst,qasrl,woz --data DIR --method lsebmcl

      workbench train --set training.max_steps=20       a quick try, some two minutes

    All settings with their defaults: `workbench show --defaults`.
    """
    values: dict[str, Any] = from_yaml(config) if config is not None else {}
    flags = {"stream": stream, "method": method, "data": existing_data(data), "seed": seed, "order": order, "device": device, "name": name}
    values |= {key: value for key, value in flags.items() if value is not None}
    for section, key, value in (("backbone", "name", backbone), ("replay", "gamma", gamma)):
        if value is not None:
            held = values.setdefault(section, {})
            if not isinstance(held, dict):
                raise ConfigError(f"{section}: found {held!r}; accepted: a mapping")
            held[key] = value
    for assignment in settings or []:
        assign(values, assignment)
    checked = build(values, config)
    with _stopped_by_hand(), _progress(as_json) as progress:
        from workbench.training.run import start

        path = start(checked, out, progress, begun=_tell_run)
    _done(path, as_json)


def resume(
    run: RunName,
    runs: RunsFolder = RUNS,
    device: Annotated[str | None, typer.Option(help="Go on on another device than the run began on (no longer bit for bit).")] = None,
    allow_changed: Annotated[
        bool, typer.Option("--allow-changed", help="Go on although settings, data, backbone or code have changed; the run notes it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was stopped or killed, from its newest checkpoint, bit for bit as if it never was."""
    path = find(run, runs)
    with _stopped_by_hand(), _progress(as_json) as progress:
        from workbench.training.run import resume as carry_on

        path = carry_on(path, progress, device, begun=_tell_run, allow_changed=allow_changed)
    _done(path, as_json)


def sample(
    run: RunName,
    task: Annotated[str | None, typer.Option(help="Task to ask for.", show_default="every task learnt")] = None,
    n: Annotated[
        int, typer.Option("-n", min=1, max=10_000, help="Samples a task to keep; what was refused on the way is listed too.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="Seed of chains and decoding.")] = 0,
    z: Annotated[Path | None, typer.Option(help="Decode these latents instead: a safetensors file with z [n, d].")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    runs: RunsFolder = RUNS,
    as_json: AsJson = False,
) -> None:
    """Draw replay from a finished run's models: text, verdict, energy. Nothing in the run is changed."""
    path = find(run, runs)
    from workbench.training.draw import decode_latents, draw_samples

    rows = decode_latents(path, z, task, seed, device) if z is not None else draw_samples(path, task, n, seed, device)
    if as_json:
        print_json(rows)
    else:
        print_rows(rows)


def pretrain(
    data: DataFolder = None,
    out: Annotated[Path, typer.Option(help="Folder the model is written to.")] = Path("backbone"),
    minutes: Annotated[float | None, typer.Option(min=0.1, help="As many steps as fit in this time.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of the last stage.")] = 1300,
    seed: Annotated[int, typer.Option(help="The seed all randomness is made from.")] = 0,
) -> None:
    """Pretrain a small language model and its latent path on public-domain and generated text, as the bundled one was.

    First language, then copying, then both with an autoencoder. Then train with it: `workbench train --backbone FOLDER`.
    """
    if data is None:
        raise ConfigError("--data: not given and WORKBENCH_DATA is not set; accepted: a folder with lm/novels and lm/speeches")
    from workbench.latent.encoder import Encoder
    from workbench.pretraining.pretrain import pretrain as run_pretraining

    card = run_pretraining(Path(data), out, Encoder, steps=steps, minutes=minutes, seed=seed, on_step=_tell)
    print_json({key: card[key] for key in ("steps", "seconds", "held_out_perplexity", "latent", "copying")})


def _tell(row: dict[str, Any]) -> None:
    print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)


def _tell_run(path: Path) -> None:
    print(f"run {path.name}", file=sys.stderr, flush=True)


@contextmanager
def _stopped_by_hand() -> Iterator[None]:
    """Ctrl-C is one sentence that says how to go on, and exit code 130: click would say that it was aborted."""
    try:
        yield
    except KeyboardInterrupt as stop:
        run = getattr(stop, "run", None)
        if run is None:
            print("stopped before the run began", file=sys.stderr)
        else:
            elsewhere = "" if run.parent == RUNS else f" --runs {run.parent}"
            print(f"{stop}; go on with: workbench resume {run.name}{elsewhere}", file=sys.stderr)
        raise typer.Exit(130) from None


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int, str], None] | None]:
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    bar = Progress(*columns, console=Console(stderr=True))
    line = bar.add_task("", total=None)

    def shown(done: int, total: int, what: str) -> None:
        bar.start()  # at the first news: a run that cannot begin shows its one sentence alone
        bar.update(line, completed=done, total=total, description=what)

    try:
        yield shown
    finally:
        if bar.live.is_started:
            bar.stop()


def _done(path: Path, as_json: bool) -> None:
    """Show the scores of a run that ended. Exit code 1 where the disk refused a part of it."""
    from workbench.runs.reader import Run
    from workbench.runs.results import run_row

    row = run_row(path)
    if as_json:
        print_json({**row, "path": str(path)})
    else:
        scores = row.pop("scores")
        print_rows([row], title=f"\n{path}")
        print_rows([{"task": task, "score": score} for task, score in scores.items()])
    if lacking := Run(path).info.incomplete:
        print(f"{path.name}: finished, incomplete: the disk refused {'; '.join(lacking)}", file=sys.stderr)
        raise typer.Exit(1)
