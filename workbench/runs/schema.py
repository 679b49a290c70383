"""What a run folder holds: the columns of every table, run.json, summary.json, a rating line, and the schema version.

Readers accept the current major version and, through `UPGRADES`, older ones; a newer one is refused in one sentence.
pyarrow is imported when a table schema is first asked for, so that listing runs stays light.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    import pyarrow as pa

    TABLES: Mapping[str, pa.Schema]

SCHEMA = 1

Status = Literal["running", "finished", "interrupted", "crashed", "failed", "broken"]
FINAL = ("finished", "failed")
FOLDERS = ("chains", "latents", "weights")


class RunError(ValueError):
    """A run folder, or a part of it, that cannot be used: one sentence naming the file and what was found."""


class SchemaError(RunError):
    """Data that does not fit the schema: written by another version, an unknown table or column, a wrong type."""


def _columns(text: str) -> dict[str, str]:
    """'i64: a b; f64: c' -> {'a': 'i64', ...}, in the order written."""
    groups = (group.split(":") for group in text.split(";"))
    return {name: kind.strip() for kind, names in groups for name in names.split()}


COLUMNS: dict[str, dict[str, str]] = {
    "metrics": _columns(
        "i64: iteration; str: task; i64: step; f64: epoch loss loss_qa loss_gen loss_kl loss_energy loss_answer lr grad_norm replay_share "
        "kl_weight grad_cosine grad_norm_new grad_norm_replay seconds"
    ),
    "eval": _columns("i64: iteration; str: trained_task eval_task kind metric; f64: score loss; i64: n; str: items"),
    "predictions": _columns("i64: iteration; str: trained_task eval_task uid kind prediction; f64: score"),
    "energy_fit": _columns(
        "i64: iteration; str: task; i64: step; f64: loss f_pos f_neg gap grad_norm displacement pos_norm neg_norm outside_4sigma"
    ),
    "diagnostics": _columns("i64: iteration; str: task name subject; f64: value"),
    "chain_stats": _columns(
        "i64: iteration; str: task; i64: step; f64: energy_q05 energy_q25 energy_q50 energy_q75 energy_q95 grad_norm_mean moved_mean "
        "rhat_nested ess stuck"
    ),
    "samples": _columns(
        "str: sample_id; i64: iteration; str: trained_task task origin context question answer answer_generated answer_relabelled text; "
        "i64: chain; f64: energy; i64: seed; str: verdict; bool: kept; i64: generation; str: recognised; "
        "f64: seconds"
    ),
    "timings": _columns("i64: iteration; str: task phase; f64: seconds"),
}
"""Columns of each table without the first, `row`: the int64 number of the row, counted by the writer. All may be null."""

OPEN_TABLES = ("metrics",)
"""Tables that accept further float columns."""


def table_schema(table: str, extra: tuple[str, ...] = ()) -> pa.Schema:
    """The pyarrow schema of a table, `row` first, with `extra` float64 columns last. Raises SchemaError for an unknown name."""
    import pyarrow as pa

    if table not in COLUMNS:
        raise SchemaError(f"table {table!r} is unknown; accepted: {', '.join(COLUMNS)}")
    kinds = {"i64": pa.int64(), "f64": pa.float64(), "str": pa.string(), "bool": pa.bool_()}
    columns = {"row": "i64", **COLUMNS[table], **dict.fromkeys(extra, "f64")}
    metadata = {"workbench.schema": str(SCHEMA), "workbench.table": table}
    return pa.schema([(name, kinds[kind]) for name, kind in columns.items()], metadata=metadata)


@cache
def _tables() -> Mapping[str, pa.Schema]:
    return {name: table_schema(name) for name in COLUMNS}


def __getattr__(name: str) -> Any:
    if name == "TABLES":
        return _tables()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


REPLAYS_NOTHING = ("finetune", "multitask")
"""Methods that replay nothing, by name: their runs once wrote down a gamma that nothing reads. A run of today says so by itself."""


Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A whole number that a column of a table can hold: one that it cannot would empty the list of all runs."""
Count = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class RunFile(BaseModel):
    """run.json. Times are UTC, ISO 8601. Nothing in it names a host, a user or a path."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    schema_version: Whole = Field(SCHEMA, alias="schema")
    id: str
    status: Literal["running", "finished", "failed"] = "running"
    created: str
    updated: str
    label: str = ""
    name: str = ""
    stream: str = ""
    stream_hash: str = ""
    tasks: list[str] = []
    order: str | None = None
    seed: Whole = 0
    gamma: Finite | None = None  # none: the method replays nothing
    config_hash: str = ""
    group_hash: str = ""
    versions: dict[str, str] = {}
    device: str = ""
    threads: Whole | None = None
    git_commit: str | None = None
    parent: str | None = None
    tables: list[str] = []
    rows: dict[str, Count] = {}  # how many rows the writer counted of each table, once the run has ended
    incomplete: list[str] = []  # what the disk refused until the end
    demo: bool = False

    @property
    def replay_ratio(self) -> float | None:
        """gamma, None where the method replays nothing."""
        return None if self.label in REPLAYS_NOTHING else self.gamma


class Summary(BaseModel):
    """summary.json: what a list of runs shows. Scores are 0..100; `curve` is the mean score in at most 60 points; further keys are kept."""

    model_config = ConfigDict(extra="allow")

    average_score: Finite | None = None
    scores: dict[str, Finite | None] = {}
    backward_transfer: Finite | None = None
    forgetting: Finite | None = None
    min_acc: Finite | None = None
    wc_acc: Finite | None = None
    iterations: Whole | None = None
    seconds: Finite | None = None
    size_bytes: Whole | None = None
    tasks_done: Whole | None = None
    phases: dict[str, Finite] = {}
    warnings: list[str] = []
    curve: list[Finite | None] = []
    synthetic: bool = False


class RatingLine(BaseModel):
    """One line of ratings/RATER.jsonl. Nothing is erased: a later line about the same sample, or an undo, stands over an earlier one."""

    model_config = ConfigDict(extra="allow")

    v: int = 1
    uid: str
    sample_id: str
    rater: str
    scale: str
    kind: str | None = None
    value: Whole | Finite | str | None = None
    t: Finite | str
    ms: Finite | None = None
    blind: bool | None = None
    plan: str | None = None
    item: Whole | None = None
    repeat: bool | None = None
    control: bool | None = None
    versus: str | None = None
    undoes: str | None = None
    on: bool | None = None
    tab: str | None = None


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Pure functions: schema n -> the run.json of schema n + 1."""


def upgrade(values: dict[str, Any]) -> dict[str, Any]:
    """The content of a run.json in today's schema. Raises SchemaError where the version is newer or unknown."""
    found = values.get("schema")
    if not isinstance(found, int) or isinstance(found, bool):
        raise SchemaError(f"run.json: schema is {found!r}; accepted: a whole number up to {SCHEMA}")
    if found > SCHEMA:
        raise SchemaError(f"written by a newer version ({found}); this one reads up to {SCHEMA}")
    while values["schema"] < SCHEMA:
        if values["schema"] not in UPGRADES:
            raise SchemaError(f"run.json: no upgrade from schema {values['schema']}; accepted: {min([*UPGRADES, SCHEMA])} to {SCHEMA}")
        values = UPGRADES[values["schema"]](values)
    return values


def parse_run(values: Any) -> RunFile:
    """A checked run.json. Raises SchemaError."""
    if not isinstance(values, dict):
        raise SchemaError(f"run.json: found a {type(values).__name__}; accepted: a mapping")
    return _parse(RunFile, upgrade(values), "run.json")


def parse_summary(values: Any) -> Summary:
    """A checked summary.json. Raises SchemaError."""
    return _parse(Summary, values, "summary.json")


def parse_rating(values: Any) -> RatingLine:
    """A checked line of a ratings file. Raises SchemaError."""
    return _parse(RatingLine, values, "rating")


def _parse(model: type[Any], values: Any, file: str) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise SchemaError(f"{file}: {where + ': ' if where else ''}{fault['msg']} (found {str(fault.get('input'))[:80]!r})") from None


def sample_id(run_id: str, iteration: int, chain: int, index: int) -> str:
    """The stable id shared by samples, chains and ratings: 12 hex digits of a SHA-1."""
    return hashlib.sha1(f"{run_id}/{iteration}/{chain}/{index}".encode(), usedforsecurity=False).hexdigest()[:12]
