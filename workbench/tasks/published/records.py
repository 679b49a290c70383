"""Records of the published files: typed access to their fields, and one reader for each file format.

A reader yields a Record for each record of the file, straight from the file or from its .gz; every fault is a TaskError that
names file, record number (from 1) and field.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from workbench.tasks.example import TaskError

T = TypeVar("T")

_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
BYTE_ORDER_MARK = "\ufeff"
"""What some editors put before the first character of a file."""
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError, OSError)


class Record(NamedTuple):
    """One record, or an object inside one: `values` by field, with `prefix` the way to it ("dialogue[3].")."""

    source: str
    number: int
    values: Mapping[str, Any]
    prefix: str = ""

    def error(self, field: str, problem: str) -> TaskError:
        return TaskError(f"{self.source}: record {self.number}: field {self.prefix + field!r} {problem}")

    def get(self, field: str, kind: type[T]) -> T:
        """The field's value, which must be of that very type."""
        if field not in self.values:
            raise self.error(field, f"is missing; found: {', '.join(map(str, self.values)) or 'no fields'}")
        value = self.values[field]
        if type(value) is not kind:
            raise self.error(field, f"is {_kind(value)}; accepted: {_KINDS[kind]}")
        if type(value) is str and (problem := _halves(value)):
            raise self.error(field, problem)
        return cast(T, value)

    def text(self, field: str) -> str:
        """A text that is more than white space, without the space around it."""
        value = self.get(field, str).strip()
        if not value:
            raise self.error(field, "is empty; accepted: some text")
        return value

    def texts(self, field: str) -> list[str]:
        """A list of texts."""
        values = self.get(field, list)
        for position, value in enumerate(values):
            if type(value) is not str:
                raise self.error(f"{field}[{position}]", f"is {_kind(value)}; accepted: text")
            if problem := _halves(value):
                raise self.error(f"{field}[{position}]", problem)
        return values

    def children(self, field: str) -> Iterator[Record]:
        """The objects of a list, or of an object of objects, as records that know their place in this one."""
        values: Any = self.values.get(field)
        entries = values.items() if type(values) is dict else enumerate(self.get(field, list))
        for key, value in entries:
            if type(value) is not dict:
                raise self.error(f"{field}[{key}]", f"is {_kind(value)}; accepted: an object")
            yield Record(self.source, self.number, value, f"{self.prefix}{field}[{key}].")


Reader = Callable[[Path, str], Iterator[Record]]


def json_lines(data: Path, name: str) -> Iterator[Record]:
    """One JSON object a line; empty lines are passed over, and counted."""
    for number, line in _lines(data, name, "utf-8"):
        if not line.strip():
            continue
        try:
            values = parse(line)
        except ValueError as error:
            raise TaskError(f"{name}: record {number}: line is not valid JSON ({error})") from None
        yield _object(name, number, values)


def parse(text: str) -> Any:
    """The value of a JSON text. Raises ValueError with a few words, also where the reader itself would give up."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        raise ValueError("a number of too many digits") from None


def json_array(data: Path, name: str) -> Iterator[Record]:
    """One JSON list of objects."""
    return _array(name, *_whole(data, name), start=0)


def squad_json(data: Path, name: str) -> Iterator[Record]:
    """The articles of a file in SQuAD's layout: the list under "data"."""
    text, damage = _whole(data, name)
    key = text.find('"data"')
    if key < 0:
        raise TaskError(f"{name}: record 1: field 'data' is missing{damage and f' ({damage})'}; accepted: the articles under 'data'")
    return _array(name, text, damage, start=text.find(":", key) + 1)


def delimited(fields: tuple[str, ...], separator: str = "\t", encoding: str = "utf-8") -> Reader:
    """A reader of one record a line without a header; the last field takes the rest of the line."""

    def read(data: Path, name: str) -> Iterator[Record]:
        for number, line in _lines(data, name, encoding):
            parts = line.split(separator, len(fields) - 1)
            if len(parts) < len(fields):
                absent, layout = fields[len(parts)], f" {separator!r} ".join(fields)
                raise TaskError(f"{name}: record {number}: field {absent!r} is missing; accepted: {layout}")
            yield Record(name, number, dict(zip(fields, parts, strict=True)))

    return read


def _halves(text: str) -> str:
    """What is wrong where a text holds half a surrogate pair, which no model reads and no table stores; else nothing."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"holds half a character ({text[error.start]!a} at {error.start}); accepted: whole characters"
    return ""


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _object(name: str, number: int, values: Any) -> Record:
    if type(values) is not dict:
        raise TaskError(f"{name}: record {number}: is {_kind(values)}; accepted: an object with named fields")
    return Record(name, number, values)


def _open(data: Path, name: str) -> BufferedReader:
    path = data / name
    if not path.is_file():
        raise TaskError(f"{name}: no such file in the data folder {data}")
    return cast(BufferedReader, gzip.open(path)) if name.endswith(".gz") else path.open("rb")


def _lines(data: Path, name: str, encoding: str) -> Iterator[tuple[int, str]]:
    """(record number, line without its end). Only a line feed ends a record: texts hold other marks that split lines."""
    number = 0
    with _open(data, name) as file:
        while True:
            number += 1
            try:
                line = file.readline().decode(encoding)
            except _DAMAGE as error:
                raise TaskError(f"{name}: record {number}: {_described(error)}") from None
            if not line:
                return
            if number == 1:
                line = line.removeprefix(BYTE_ORDER_MARK)
            yield number, line.rstrip("\r\n")


def _whole(data: Path, name: str) -> tuple[str, str]:
    """The text of a file as far as it can be read, and what stopped the reading ("" at a proper end)."""
    read, damage = bytearray(), ""
    with _open(data, name) as file:
        try:
            # read1: what stands before a damaged part comes back before the fault does.
            while piece := file.read1(1 << 16):
                read += piece
        except _DAMAGE as error:
            damage = _described(error)
    if read.startswith(codecs.BOM_UTF8):
        del read[: len(codecs.BOM_UTF8)]
    try:
        return read.decode(), damage
    except UnicodeDecodeError as error:
        return read[: error.start].decode(), damage or _described(error)


def _array(name: str, text: str, damage: str, start: int) -> Iterator[Record]:
    """The objects of the JSON list that begins at `start`, decoded one at a time: so a fault has a record number."""
    decoder = json.JSONDecoder()
    number, position, opening = 1, start, "["
    while True:
        position = _skip(text, position)
        found = text[position : position + 1]
        if found == "]" and opening != "[":
            break
        if found != opening:
            problem = damage or (f"{found!r} found" if found else "the file ends early")
            raise TaskError(f"{name}: record {number}: {problem}; accepted: a JSON list of objects")
        position = _skip(text, position + 1)
        if opening == "[" and text[position : position + 1] == "]":
            break
        opening = ","
        try:
            values, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            problem = damage or f"is not valid JSON ({error.msg} at character {error.pos})"
            raise TaskError(f"{name}: record {number}: {problem}") from None
        except (ValueError, RecursionError):
            raise TaskError(f"{name}: record {number}: is nested too deeply or has a number of too many digits") from None
        yield _object(name, number, values)
        number += 1
    # A complete list may still come from a file whose checksum is wrong.
    if damage:
        raise TaskError(f"{name}: record {number}: {damage}")


def _skip(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\n", "\r", "\t"):
        position += 1
    return position


def _described(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"cannot be read as {error.encoding} ({error.reason})"
    return f"the file ends early or is damaged ({error})"
