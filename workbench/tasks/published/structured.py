"""Tasks whose answer is a structure written as text: WOZ 2.0 (dialogue state) and WikiSQL (a query on a table).

Contexts, questions and answers are written as decaNLP writes them (McCann et al. 2018), which the LAMOL release keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from workbench.tasks.published.drafts import Draft
from workbench.tasks.published.records import Record, json_lines

STATE_QUESTION = "What is the change in state?"
NO_CHANGE = "None"


def woz(dialogue: Record) -> Iterator[Draft]:
    """One draft a turn: what the user newly informs or changes, then ";", then what the user requests in this turn."""
    index = dialogue.get("dialogue_idx", int)
    before: dict[str, str] = {}
    for number, turn in enumerate(dialogue.children("dialogue")):
        informed: dict[str, str] = {}
        requested: list[str] = []
        for belief in turn.children("belief_state"):
            act = belief.get("act", str)
            if act not in ("inform", "request"):
                raise belief.error("act", f"is {act!r}; accepted: inform, request")
            for slot, value in _pairs(belief, "slots"):
                if act == "inform":
                    informed[slot] = value
                else:
                    requested.append(value)
        changed = [f"{slot}: {value}" for slot, value in informed.items() if before.get(slot) != value]
        before = informed
        acts = ", ".join(_acts(turn))
        context = f"{acts} -- {turn.text('transcript')}" if acts else turn.text("transcript")
        yield Draft(context, STATE_QUESTION, (state_change(changed, requested),), {"dialogue": index, "turn": number})


def state_change(changed: Sequence[str], requested: Sequence[str]) -> str:
    if not changed and not requested:
        return NO_CHANGE
    return f"{', '.join(changed)};{' ' if requested else ''}{', '.join(requested)}"


def _pairs(record: Record, field: str) -> Iterator[tuple[str, str]]:
    for position, pair in enumerate(record.get(field, list)):
        if type(pair) is not list or len(pair) != 2 or not all(type(part) is str for part in pair):
            raise record.error(f"{field}[{position}]", f"is {pair!r}; accepted: [slot, value]")
        yield pair[0].strip(), pair[1].strip()


def _acts(turn: Record) -> Iterator[str]:
    """A system act is a slot that is asked for, or [slot, value] (the hub puts the former in a list of one)."""
    for position, act in enumerate(turn.get("system_acts", list)):
        parts = act if type(act) is list else [act]
        if not parts or not all(type(part) is str for part in parts):
            raise turn.error(f"system_acts[{position}]", f"is {act!r}; accepted: a slot, or [slot, value]")
        yield ": ".join(parts)


QUERY_QUESTION = "What is the translation from English to SQL?"
AGGREGATES = ("", "MAX", "MIN", "COUNT", "SUM", "AVG")
OPERATORS = ("=", ">", "<", "OP")
KEY_WORDS = (
    *("MAX", "MIN", "COUNT", "SUM", "AVG", "=", ">", "<", "OP", "SELECT", "WHERE", "AND", "COL", "TABLE", "CAPTION", "PAGE"),
    *("SECTION", "OP", "COND", "QUESTION", "AGG", "AGGOPS", "CONDOPS"),
)


def wikisql(record: Record) -> Iterator[Draft]:
    """`question`, `header` and the official `sql` {sel, agg, conds [[column, operator, value]]}."""
    header = record.texts("header")
    sql = Record(record.source, record.number, record.get("sql", dict), "sql.")
    conditions = []
    for position, condition in enumerate(sql.get("conds", list)):
        if type(condition) is not list or len(condition) != 3:
            raise sql.error(f"conds[{position}]", f"is {condition!r}; accepted: [column, operator, value]")
        column, operator, value = condition
        parts = Record(sql.source, sql.number, {"column": column, "operator": operator}, f"sql.conds[{position}].")
        conditions.append(f"{_picked(parts, 'column', header)} {_picked(parts, 'operator', OPERATORS)} {value}")
    aggregate = _picked(sql, "agg", AGGREGATES)
    query = f"SELECT {aggregate}{' ' if aggregate else ''}{_picked(sql, 'sel', header)} FROM table"
    if conditions:
        query += f" WHERE {' AND '.join(conditions)}"
    context = f"The table has columns {', '.join(header)} and key words {', '.join(KEY_WORDS)}-- {record.text('question')}"
    yield Draft(context, QUERY_QUESTION, (query,), {"header": header})


def _picked(record: Record, field: str, names: Sequence[str]) -> str:
    index = record.get(field, int)
    if not 0 <= index < len(names):
        raise record.error(field, f"is {index}; accepted: 0 to {len(names) - 1}")
    return names[index]


def wikisql_row(row: Record) -> Iterator[Draft]:
    """The layout of the hub: the header inside `table`, the conditions as one list a part."""
    table = Record(row.source, row.number, row.get("table", dict), "table.")
    sql = Record(row.source, row.number, row.get("sql", dict), "sql.")
    parts = Record(row.source, row.number, sql.get("conds", dict), "sql.conds.")
    columns, operators, values = (parts.get(field, list) for field in ("column_index", "operator_index", "condition"))
    if not len(columns) == len(operators) == len(values):
        raise sql.error("conds", "has parts of different lengths; accepted: one column, operator and condition each")
    conds = [list(condition) for condition in zip(columns, operators, values, strict=True)]
    official = {"question": row.get("question", str), "header": table.texts("header"), "sql": {**sql.values, "conds": conds}}
    yield from wikisql(Record(row.source, row.number, official))


class _Query(NamedTuple):
    """A record of the readable form: names still to be found in the header."""

    table: str
    columns: str
    question: str
    aggregate: str
    selected: str
    conditions: list[tuple[str, str, str]]


_READABLE = re.compile(r"table: (\S+)\ncolumns: (.+)\nQ: (.+)\nA: SELECT (.+) FROM (\S+?)(?: WHERE (.+))?")
_CONDITION = re.compile(r"(.+?) (=|>|<|OP) (.+)", re.DOTALL)


def readable_wikisql(data: Path, name: str) -> Iterator[Record]:
    """Records in the form that `wikisql` takes, from JSON lines whose `text` writes header, question and SQL on four lines.

    The header is joined by ", ", which some column names hold themselves: a name that a query on the table uses, or that an
    open bracket keeps together, is one name.
    """
    queries = [(record, _readable(record)) for record in json_lines(data, name)]
    used: dict[str, set[str]] = {}
    for _, query in queries:
        used.setdefault(query.table, set()).update((query.selected, *(column for column, _, _ in query.conditions)))
    for record, query in queries:
        header = split_header(query.columns, used[query.table])
        sql = {
            "sel": _column(record, query.selected, header),
            "agg": AGGREGATES.index(query.aggregate),
            "conds": [[_column(record, column, header), OPERATORS.index(operator), value] for column, operator, value in query.conditions],
        }
        yield Record(record.source, record.number, {"question": query.question, "header": header, "sql": sql})


def _readable(record: Record) -> _Query:
    found = _READABLE.fullmatch(record.text("text"))
    if not found:
        raise record.error("text", "is not of the form 'table:', 'columns:', 'Q:', 'A: SELECT ... FROM ...'; accepted: those four lines")
    table, columns, question, selected, _, where = found.groups()
    aggregate, space, rest = selected.partition(" ")
    if not space or aggregate not in AGGREGATES[1:]:
        aggregate, rest = "", selected
    pieces: list[str] = []
    for piece in where.split(" AND ") if where else ():
        # A value may hold " AND " itself: what is no condition belongs to the one before.
        if pieces and not _CONDITION.fullmatch(piece):
            pieces[-1] += f" AND {piece}"
        else:
            pieces.append(piece)
    conditions = []
    for piece in pieces:
        condition = _CONDITION.fullmatch(piece)
        if not condition:
            raise record.error("text", f"has the condition {piece!r}; accepted: COLUMN OPERATOR VALUE with {', '.join(OPERATORS)}")
        column, operator, value = condition.groups()
        quoted = len(value) > 1 and value[0] == value[-1] == "'"
        conditions.append((column.strip(), operator, value[1:-1] if quoted else value))
    return _Query(table, columns, question.strip(), aggregate, rest.strip(), conditions)


def split_header(columns: str, used: set[str]) -> list[str]:
    """Column names of a text that joins them by ", "; `used` are names known to stand in it."""
    pieces = [piece.strip() for piece in columns.split(", ")]
    header: list[str] = []
    while pieces:
        longest = 1
        for length in range(2, len(pieces) + 1):
            name = ", ".join(pieces[:length])
            opened = ", ".join(pieces[: length - 1])
            if name in used or (longest == length - 1 and opened.count("(") > opened.count(")")):
                longest = length
        header.append(", ".join(pieces[:longest]))
        pieces = pieces[longest:]
    return header


def _column(record: Record, name: str, header: list[str]) -> int:
    if name not in header:
        raise record.error("text", f"uses the column {name!r}, which is not in its header; accepted: {', '.join(header)}")
    return header.index(name)
