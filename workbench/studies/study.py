"""The study file: what is held, what varies, how often, and the bars it must pass. No torch.

    study: gamma                     its name; default: the file's
    about: What it asks, in a sentence.
    base:                            any setting of a run, as in a run's YAML
      stream: bundled
      training: {epochs: 9}
    axes:                            one block, or a list of blocks whose cells are put together
      grid: {method: [lsebmcl, er], replay.gamma: [0.05, 0.2]}    every value with every other
      zip: {energy.steps: [5, 10], energy.delta: [0.8, 0.4]}      first with first, second with second
      list: [{energy.kernel: mala}, {}]                           settings written out, one cell each
    seeds: 5                         how many from 0, or a list; a block may have its own
    orders: [null, "2,1,3,4,5"]      null: the stream's own; or {random: 24, seed: 0}; or all; a block may have its own
    resources: {threads: 1, gpus: 0, memory_gb: 2}
    gate:                            the rest is refused unless the pilot passes
      pilot: {seeds: [0], orders: [null]}
      bars:
        - {of: {method: lsebmcl}, measure: average_score, at_least: 40}
        - {of: {method: lsebmcl}, minus: {method: er}, measure: average_score, at_least: -5}

Within a block grid, zip and list are multiplied. Cells of equal settings are one cell, whichever block asks for them.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from workbench.config import ConfigError, RunConfig, build, from_yaml
from workbench.runs.files import slug
from workbench.studies.errors import StudyError

Settings = dict[str, Any]
MOST_CELLS = 10_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _counted(value: Any) -> Any:
    """A number of seeds as the seeds from 0."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if not 1 <= value <= MOST_CELLS:
        raise ValueError(f"seeds: found {value}; accepted: how many, from 1 to {MOST_CELLS}, or a list of seeds")
    return list(range(value))


Seeds = Annotated[list[int], BeforeValidator(_counted)]


class RandomOrders(_Part):
    """The stream's own order and further ones, drawn without repetition by a seed: {random: how many in all, seed: N}."""

    random: int = Field(ge=1)
    seed: int = 0


Orders = list[str | None] | RandomOrders | Literal["all"]


class Block(_Part):
    """Cells that belong together: every combination of a grid, with every row of what is zipped, with every row that is written out."""

    grid: dict[str, list[Any]] = {}
    zip: dict[str, list[Any]] = {}
    list_: list[dict[str, Any]] = Field([{}], alias="list", min_length=1)
    seeds: Seeds | None = None
    orders: Orders | None = None

    @model_validator(mode="after")
    def _long_enough(self) -> Block:
        for kind in ("grid", "zip"):
            for name, values in getattr(self, kind).items():
                if not values:
                    raise ValueError(f"{kind}.{name}: found no value; accepted: one or more")
        lengths = {name: len(values) for name, values in self.zip.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ValueError(f"zip: found lists of unlike length ({found}); accepted: equally many values of each")
        return self

    def rows(self) -> Iterator[Settings]:
        grid = [[(name, value) for value in values] for name, values in self.grid.items()]
        zipped = list(zip(*([(name, value) for value in values] for name, values in self.zip.items()), strict=True)) or [()]
        for free, tied, written in itertools.product(itertools.product(*grid), zipped, self.list_):
            yield {**dict(free), **dict(tied), **written}


class Resources(_Part):
    """What one run takes of a machine."""

    threads: int = Field(1, ge=1)
    gpus: float = Field(0, ge=0)
    memory_gb: float | None = Field(None, gt=0)


class Bar(_Part):
    """A mean over the pilot's cells `of` (less the mean over the cells `minus`), and where it must lie."""

    of: dict[str, Any]
    minus: dict[str, Any] | None = None
    measure: str = "average_score"
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Bar:
        if self.at_least is None and self.at_most is None:
            raise ValueError("found neither at_least nor at_most; accepted: one of them or both")
        return self


class Pilot(_Part):
    """The cells that run first: of these seeds, orders and settings. What is not named is not asked for."""

    seeds: list[int] | None = None
    orders: list[str | None] | None = None
    of: dict[str, Any] = {}


class Gate(_Part):
    pilot: Pilot
    bars: list[Bar] = Field(min_length=1)


class Study(_Part):
    """A checked study file."""

    study: str = Field(min_length=1)
    about: str = ""
    base: dict[str, Any] = {}
    axes: list[Block] = [Block.model_validate({})]
    seeds: Seeds = [0]
    orders: Orders = [None]
    resources: Resources = Resources.model_validate({})
    gate: Gate | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if isinstance(values.get("axes"), dict):
            values["axes"] = [values["axes"]]
        return values

    @cached_property
    def cells(self) -> list[Cell]:
        """Every cell once, seed by seed, so that a study stopped early has whole rows. Raises ConfigError, StudyError."""
        asked = [(block, row) for block in self.axes for row in block.rows()]
        seeds = list(dict.fromkeys(seed for block in self.axes for seed in (self.seeds if block.seeds is None else block.seeds)))
        known: dict[tuple[Any, ...], list[str | None]] = {}
        found: dict[str, Cell] = {}
        for seed in seeds:
            for block, row in asked:
                if seed not in (self.seeds if block.seeds is None else block.seeds):
                    continue
                made = self._build(row, seed, None)
                wanted = self.orders if block.orders is None else block.orders
                key = (made.stream, made.data, str(wanted))
                if key not in known:
                    known[key] = _orders(made, wanted)
                for order in known[key]:
                    config = made if order is None else self._build(row, seed, order)
                    cell = Cell(study=self.study, row=row, config=config, resources=self.resources)
                    found.setdefault(cell.hash, cell)
                    if len(found) > MOST_CELLS:
                        raise StudyError(f"{self.study}: more than {MOST_CELLS} cells; accepted: at most that many")
        return list(found.values())

    def _build(self, row: Settings, seed: int, order: str | None) -> RunConfig:
        values = copy.deepcopy(self.base)
        for name, value in row.items():
            put(values, name, value)
        values["seed"] = seed
        if order is not None:
            values["order"] = order
        try:
            return build(values)
        except ConfigError as error:
            where = ", ".join(f"{name}={value}" for name, value in row.items()) or "base"
            raise ConfigError(f"study {self.study}, cell {where}: {error}") from None

    def is_pilot(self, cell: Cell) -> bool:
        if self.gate is None:
            return False
        pilot = self.gate.pilot
        seeds, orders = pilot.seeds, pilot.orders
        return (seeds is None or cell.config.seed in seeds) and (orders is None or cell.config.order in orders) and matches(cell, pilot.of)


def _orders(config: RunConfig, wanted: Orders) -> list[str | None]:
    """Orders as names of the tasks, None for the stream's own, each once: however it is written, an order is one order."""
    if wanted == [None]:
        return [None]
    from workbench.tasks import load_stream

    stream = load_stream(config.stream, config.data)
    names = stream.names
    if isinstance(wanted, list):
        orders = [stream.ordered(order).names for order in wanted]
    elif wanted == "all" or isinstance(wanted, str):
        if math.factorial(len(names)) > MOST_CELLS:
            raise StudyError(f"orders: {len(names)} tasks have {math.factorial(len(names))}; accepted: all of at most {MOST_CELLS}")
        orders = list(itertools.permutations(names))
    else:
        count = min(math.factorial(len(names)), MOST_CELLS)
        if wanted.random > count:
            raise StudyError(f"orders: {wanted.random} of {len(names)} tasks; accepted: at most {count}")
        draw, drawn = random.Random(wanted.seed), {names: None}
        while len(drawn) < wanted.random:
            drawn.setdefault(tuple(draw.sample(names, len(names))))
        orders = list(drawn)
    return [None if order == names else ",".join(order) for order in dict.fromkeys(orders)]


class Cell(_Part):
    """One run of a study: the settings that its axes gave it, and all of them resolved."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    study: str
    row: Settings
    config: RunConfig
    resources: Resources

    @property
    def name(self) -> str:
        """What tells it apart, for a person."""
        told = [f"{key.rpartition('.')[2]}={value}" for key, value in self.row.items() if key != "method"]
        order = [f"order={self.config.order}"] if self.config.order else []
        return " ".join([self.config.label, *told, f"seed={self.config.seed}", *order])

    @cached_property
    def hash(self) -> str:
        """Of what decides the scores, of seed and order and of what is recorded: cells of equal hash are one run, in whichever study."""
        config = self.config
        content = [config.model_copy(update={"order": None}).group_hash, config.seed, config.order, config.recording.model_dump()]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def folder_name(self) -> str:
        """The short name of its run's folder: by it a run is found without reading all of them."""
        return f"{slug(self.study)[:40]}-{self.hash[:10]}"

    @property
    def about(self) -> dict[str, Any]:
        """What its run.json says of it."""
        return {"study": self.study, "cell": self.row, "cell_hash": self.hash}


def put(values: Settings, name: str, value: Any) -> None:
    """Set `section.key` in nested settings. Raises ConfigError where the section is no mapping."""
    *sections, leaf = name.split(".")
    for section in sections:
        held = values.setdefault(section, {})
        if not isinstance(held, dict):
            raise ConfigError(f"{name}: {section} is {held!r}; accepted: a mapping")
        values = held
    if isinstance(value, Mapping) and isinstance(values.get(leaf), dict):
        values[leaf] = {**values[leaf], **value}
    else:
        values[leaf] = value


def matches(cell: Cell, wanted: Mapping[str, Any]) -> bool:
    """Whether a cell has these settings; `method` is the name that tables show (er, gaussian, lamol_task)."""
    return all(_has(cell, name, value) for name, value in wanted.items())


def _has(cell: Cell, name: str, value: Any) -> bool:
    if name == "method":
        return value in (cell.config.label, cell.row.get("method"))
    found: Any = cell.config.model_dump()
    for part in name.split("."):
        if not isinstance(found, dict) or part not in found:
            raise StudyError(f"gate: no setting named {name!r}; accepted: method, or a setting as `workbench show --defaults` lists them")
        found = found[part]
    return found == value


def read_study(path: Path) -> Study:
    """The study of a YAML file. Raises ConfigError, StudyError with one sentence a fault."""
    values = {"study": path.stem, **from_yaml(path)}
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise StudyError(f"{path}: " + "; ".join(_sentence(fault) for fault in _telling(error.errors()))) from None


def _telling(faults: Sequence[Any]) -> list[Any]:
    """Of a union's faults the first only: the others say what it is not either."""
    seen: dict[str, Any] = {}
    for fault in faults:
        seen.setdefault(str(fault["loc"][:1]), fault)
    return list(seen.values())


def _sentence(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"] if not str(part).startswith(("function", "list[", "literal", "RandomOrders")))
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key; accepted: what docs/sweeps.md lists"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{where}: {message}" if where and not message.startswith(where) else message
    return f"{where}: {message} (found {str(fault.get('input'))[:80]!r})"
