"""SQL answers read as logical forms: (aggregate, column, set of conditions).

Two readings of one query language: sqlglot where the text is SQL, and a splitter around the known header where it is the pseudo
SQL of WikiSQL, whose column names may hold spaces, slashes, quotes or SQL words (`SELECT MAX Pop./km² FROM table WHERE No. = 3`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

AGGREGATES = ("MAX", "MIN", "COUNT", "SUM", "AVG")
OPERATORS = {"=": "=", "==": "=", ">": ">", "<": "<", "OP": "OP", ">=": ">=", "<=": "<=", "!=": "!=", "<>": "!="}
_OPERATOR = re.compile(r"\s*(>=|<=|!=|<>|==|=|>|<|\bOP\b)", re.IGNORECASE)
_AGGREGATE = re.compile(rf"({'|'.join(AGGREGATES)})\b[\s(]*(.+)", re.IGNORECASE)
_FROM = re.compile(r"\sFROM\s", re.IGNORECASE)
_FROM_NEXT = re.compile(r"[\s)]*\sFROM\s+(.*)", re.IGNORECASE)
_WHERE = re.compile(r"\bWHERE\b", re.IGNORECASE)
_AND = re.compile(r"\sAND\s+", re.IGNORECASE)
_QUOTES = {"'": "'", '"': '"', "`": "`", "[": "]"}


@dataclass(frozen=True)
class Query:
    """A logical form: aggregate ("" for none), selected column, conditions (column, operator, value), all normalised.

    `snaps`: names that no column has, the columns taken for them, and their likeness 0..1; not part of the form.
    """

    aggregate: str
    column: str
    conditions: frozenset[tuple[str, str, str]]
    snaps: tuple[tuple[str, str, float], ...] = field(default=(), compare=False)


def parse_query(text: str, header: Sequence[str]) -> Query:
    """The logical form of a query; its column names are snapped to the header. Raises ValueError where it is no query."""
    return _parse(text, tuple(header))


@lru_cache(maxsize=20_000)  # gold queries are read at every evaluation
def _parse(text: str, header: tuple[str, ...]) -> Query:
    plain = " ".join(text.split()).removesuffix(";").strip()
    whole = sorted({" ".join(name.split()) for name in header if name.strip()}, key=lambda name: (-len(name), name))
    if not re.match(r"select\s", plain, re.IGNORECASE):
        raise ValueError(f"{text!r:.80} does not begin with SELECT")
    return _strict(plain, whole) or _tolerant(plain, whole)


def snap(name: str, columns: Sequence[str], snaps: list[tuple[str, str, float]] | None = None) -> str:
    """The column that shares the longest common subsequence with a name, relative to the longer of the two; lower case.

    What was taken for what is added to `snaps`. Raises ValueError where no column shares a character. Without columns the name stands as it is.
    """
    plain = _unquoted(name).casefold()
    if not columns:
        return plain
    best = max(columns, key=lambda column: _likeness(plain, column))
    if _likeness(plain, best) == 0:
        raise ValueError(f"{name!r} is like no column of {', '.join(columns)}")
    if snaps is not None:
        snaps.append((plain, best.casefold(), _likeness(plain, best)))
    return best.casefold()


def value_of(text: str) -> str:
    """A condition's value for comparison: unquoted, lower case, single spaces; numbers without thousands commas or trailing zeros."""
    plain = " ".join(_unquoted(text).split()).casefold()
    bare = plain.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", plain) else plain
    if re.fullmatch(r"-?(0|[1-9]\d*)\.\d+", bare):
        bare = bare.rstrip("0").removesuffix(".")
    return bare


def _strict(text: str, columns: Sequence[str]) -> Query | None:
    """The reading of sqlglot, or None where it is not plainly one SELECT of this header."""
    if re.search(r"--|/\*|#|\\|;|\{", text):  # read as comments or templates, they would be dropped from values
        return None
    import sqlglot
    from sqlglot import expressions as exp

    try:
        tree = sqlglot.parse_one(text)
    except Exception:  # on a model's output any fault of the parser means: not SQL
        return None
    clauses = {key for key, value in tree.args.items() if value}
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or clauses - {"expressions", "from_", "from", "where"}:
        return None
    known = {name.casefold() for name in columns}
    functions = {exp.Max: "MAX", exp.Min: "MIN", exp.Count: "COUNT", exp.Sum: "SUM", exp.Avg: "AVG"}

    def column_of(node: object) -> str | None:
        if not isinstance(node, exp.Column) or len(node.parts) != 1 or not isinstance(node.this, exp.Identifier):
            return None
        return node.name.casefold() if node.name.casefold() in known else None

    selected = tree.expressions[0]
    aggregate = functions.get(type(selected), "")
    column = column_of(selected.this if aggregate else selected)
    where = tree.args.get("where")
    conditions = set()
    for node in (where.this.flatten() if isinstance(where.this, exp.And) else [where.this]) if where else ():
        operator = {exp.EQ: "=", exp.GT: ">", exp.LT: "<"}.get(type(node))
        left = column_of(node.this) if operator else None
        value = _literal(node.expression) if operator else None
        if operator is None or left is None or value is None:
            return None
        conditions.add((left, operator, value_of(value)))
    return Query(aggregate, column, frozenset(conditions)) if column else None


def _literal(node: object) -> str | None:
    from sqlglot import expressions as exp

    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return f"-{node.this.name}"
    if isinstance(node, exp.Column) and len(node.parts) == 1 and isinstance(node.this, exp.Identifier):
        return node.name
    return node.name if isinstance(node, exp.Literal) else None


def _tolerant(text: str, columns: Sequence[str]) -> Query:
    """The reading around the header: a column of it is recognised whole, whatever characters it holds."""
    snaps: list[tuple[str, str, float]] = []
    aggregate, column, rest = _selected(text[len("select") :].strip(), columns, snaps)
    table, where, conditions = _partition(rest, _WHERE)
    if not conditions and (where or " " in table.strip()):
        raise ValueError(f"{text!r:.80} has no condition after its table")
    found = frozenset(_condition(part, columns, snaps) for part in _parts(conditions, columns))
    return Query(aggregate, column, found, tuple(snaps))


def _selected(body: str, columns: Sequence[str], snaps: list[tuple[str, str, float]]) -> tuple[str, str, str]:
    """(aggregate, column, what follows FROM)."""
    found = _AGGREGATE.match(body)
    readings = [("", body), (found[1].upper(), found[2])] if found else [("", body)]
    for aggregate, text in readings:
        for column, rest in _leading(text, columns):
            source = _FROM_NEXT.match(rest)
            if source:
                return aggregate, column.casefold(), source[1]
    aggregate, text = readings[-1]
    name, separator, rest = _partition(text, _FROM)
    if not separator:
        raise ValueError(f"{body!r:.80} has no FROM")
    return aggregate, snap(name.rstrip(" )"), columns, snaps), rest


def _parts(text: str, columns: Sequence[str]) -> list[str]:
    """The conditions: text cut at each AND that a condition follows; an AND inside a value or a column stays."""
    inside = [column for column in columns if _AND.search(column)]
    parts: list[str] = []
    start = 0
    for found in _AND.finditer(text):
        end_of_column = max((len(text) - len(rest) for column, rest in _leading(text[start:], inside) if _OPERATOR.match(rest)), default=0)
        if found.start() >= end_of_column and _begins(text[found.end() :], columns):
            parts.append(text[start : found.start()])
            start = found.end()
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def _begins(text: str, columns: Sequence[str]) -> bool:
    """Whether a condition begins here: a column and an operator, or something much like a column before an operator."""
    if any(_OPERATOR.match(rest) for _, rest in _leading(text, columns)):
        return True
    name, operator, _ = _partition(_AND.split(text, maxsplit=1)[0], _OPERATOR)
    return bool(operator) and (not columns or max(_likeness(_unquoted(name).casefold(), column) for column in columns) >= 0.5)


def _condition(text: str, columns: Sequence[str], snaps: list[tuple[str, str, float]]) -> tuple[str, str, str]:
    for column, rest in _leading(text, columns):
        found = _OPERATOR.match(rest)
        if found:
            return column.casefold(), OPERATORS[found[1].upper()], value_of(rest[found.end() :])
    name, operator, value = _partition(text, _OPERATOR)
    if not operator:
        raise ValueError(f"{text!r:.80} is no condition")
    return snap(name, columns, snaps), OPERATORS[operator.upper()], value_of(value)


def _leading(text: str, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The columns a text begins with, the longest first, each with what follows it; quotes around the name are dropped."""
    for opening in ("", text[:1]) if text[:1] in _QUOTES else ("",):
        closing = _QUOTES.get(opening, "")
        for column in columns:
            end = len(opening) + len(column)
            if text[len(opening) : end].casefold() == column.casefold() and text[end : end + len(closing)] == closing:
                yield column, text[end + len(closing) :]


def _partition(text: str, pattern: re.Pattern[str]) -> tuple[str, str, str]:
    found = pattern.search(text)
    return (text[: found.start()], found[0].strip(), text[found.end() :].strip()) if found else (text, "", "")


def _unquoted(text: str) -> str:
    plain = text.strip()
    while len(plain) >= 2 and _QUOTES.get(plain[0]) == plain[-1]:
        plain = plain[1:-1].replace(plain[0] * 2, plain[0]).strip()
    return plain


def _likeness(name: str, column: str) -> float:
    from rapidfuzz.distance import LCSseq

    return LCSseq.normalized_similarity(name, column.casefold())
