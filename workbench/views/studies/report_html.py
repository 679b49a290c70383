"""The HTML of a report: one file that opens offline, with plotly.js in it once. Everything that came from a run is escaped text."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from workbench.views.style import dress
from workbench.views.text import LONGEST, visible

MOST_ROWS = 200

# No network: a report shows what is in it and nothing else. plotly compiles its WebGL traces, hence 'unsafe-eval'.
POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"

CSS = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Text:
    """A piece of a panel that is text: prose (a paragraph), code (monospaced), or sample (a generated text in a reading face)."""

    text: str
    kind: str = "prose"
    folded: str = ""


Piece = go.Figure | pd.DataFrame | Text


@dataclass(frozen=True)
class Part:
    """A panel that was made: its heading and its pieces."""

    anchor: str
    title: str
    about: str
    pieces: Sequence[Piece]


@dataclass(frozen=True)
class Chapter:
    """Panels under one heading: a run, or the comparison of all."""

    anchor: str
    title: str
    about: str
    parts: Sequence[Part]
    link: str = ""


def escaped(text: Any, limit: int = LONGEST) -> str:
    """Text for HTML: hidden characters shown, cut with a note, every mark escaped."""
    whole = str(text)
    note = f" […cut at {limit:,} of {len(whole):,} characters]" if len(whole) > limit else ""
    return html.escape(visible(whole[:limit]) + note)


def document(title: str, about: str, chapters: Sequence[Chapter]) -> str:
    """The whole report."""
    links = "".join(f'<a href="#{chapter.anchor}">{escaped(chapter.title)}</a>' for chapter in chapters)
    body = "".join(_chapter(chapter, str(number)) for number, chapter in enumerate(chapters))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escaped(title)}</title>'
        f'<link rel="icon" href="data:,"><style>{CSS}</style><script>{get_plotlyjs()}</script></head><body>'
        f'<h1>{escaped(title)}</h1><p class="muted">{escaped(about)}</p><nav>{links}</nav>{body}</body></html>\n'
    )


def _chapter(chapter: Chapter, number: str) -> str:
    contents = "".join(f'<a href="#{part.anchor}">{escaped(part.title)}</a>' for part in chapter.parts)
    link = (
        f' <a href="{html.escape(chapter.link, quote=True)}">Open in the app</a> (while it runs on this machine).' if chapter.link else ""
    )
    parts = "".join(_part(part, f"{number}_{at}") for at, part in enumerate(chapter.parts))
    about = f'<h2>{escaped(chapter.title)}</h2><p class="muted">{escaped(chapter.about)}{link}</p>'
    return f'<section id="{chapter.anchor}">{about}<nav>{contents}</nav>{parts}</section>'


def _part(part: Part, number: str) -> str:
    pieces = "".join(_piece(piece, f"figure_{number}_{at}") for at, piece in enumerate(part.pieces))
    about = f'<p class="muted">{escaped(part.about)}</p>' if part.about else ""
    return f'<section id="{part.anchor}"><h3>{escaped(part.title)}</h3>{about}{pieces}</section>'


def _piece(piece: Piece, name: str) -> str:
    if isinstance(piece, go.Figure):
        return figure_html(piece, name)
    if isinstance(piece, pd.DataFrame):
        return table_html(piece)
    if piece.kind == "prose":
        return f"<p>{escaped(piece.text)}</p>"
    block = f'<pre class="{"text" if piece.kind == "sample" else "code"}">{escaped(piece.text)}</pre>'
    return f"<details><summary>{escaped(piece.folded)}</summary>{block}</details>" if piece.folded else block


def figure_html(figure: go.Figure, name: str) -> str:
    """A figure on light paper, without plotly.js (the document has it)."""
    copy = dress(go.Figure(figure))
    layout: Any = copy.layout
    height = layout.height or 420
    content = copy.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        default_height=f"{height}px",
        config={"displaylogo": False, "responsive": True},
    )
    return f'<div class="figure">{content}</div>'


def table_html(frame: pd.DataFrame) -> str:
    """A table of at most MOST_ROWS rows; numbers with four digits."""
    if frame.empty:
        return '<p class="muted">Nothing was recorded.</p>'
    head = "".join(f"<th>{escaped(column)}</th>" for column in frame.columns)
    rows = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in frame.head(MOST_ROWS).itertuples(index=False))
    more = f'<p class="muted">The first {MOST_ROWS} of {len(frame):,} rows.</p>' if len(frame) > MOST_ROWS else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{more}'


def _cell(value: Any) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return "<td>–</td>"
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = type(value).__name__
        if kind.startswith(("int", "uint")):
            return f'<td class="number">{int(value):,}</td>'
        if kind.startswith("float"):
            return f'<td class="number">{float(value):.4g}</td>'
        return f"<td>{escaped(value, 2000)}</td>"
    return f'<td class="number">{value:,}</td>' if isinstance(value, int) else f'<td class="number">{value:.4g}</td>'
