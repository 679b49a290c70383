"""What texts of any language say alike: the words that `em` and `nf1` compare for tasks of one's own.

The published rules (`scoring`) know English in ASCII: there "A" is no word, 北京市 shares nothing with 中国北京市, and an answer in
typographic quotes is wrong. Here texts are first brought to one spelling (Unicode NFKC, plain quotes and dashes); scripts that put
no space between words count by character, as MLQA's evaluation does (Lewis et al. 2020); and an answer never loses its last word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from workbench.tasks.scoring_words import ARTICLES, published_words

UNICODE = "unicode"
RULES = (UNICODE, "published")

_PLAIN = str.maketrans(dict.fromkeys("‘’‚‛′", "'") | dict.fromkeys("“”„‟″«»「」『』", '"') | dict.fromkeys("‐‑‒–—―−", "-"))
_UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
"""Thai, Lao, Burmese, Khmer, Japanese kana, Han."""


def spelled(text: str) -> str:
    """The text in one spelling: quotes and dashes plain, composed and compatible forms alike."""
    return unicodedata.normalize("NFKC", text.translate(_PLAIN))


def em_words(text: str) -> list[str]:
    """What exact match compares: the words in one spelling; case and punctuation count."""
    return spelled(text).split()


def nf1_words(text: str) -> list[str]:
    """What nF1 counts: words without case, punctuation and the articles a, an, the, where others are left; characters of scripts without spaces."""
    plain = spelled(text).casefold()
    bare = "".join(character for character in plain if not _punctuation(character))
    words = list(_cut(bare))
    return [word for word in words if word not in ARTICLES] or words or plain.split()


def _punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] == "P" or character in "$+<=>^`|~"


def _cut(text: str) -> Iterator[str]:
    for word in text.split():
        yield from (part for part in _UNSPACED.split(word) if part)


def published_warnings(metric: str, answers: Sequence[str], file: str) -> list[str]:
    """Sentences about answers that the published rules do not score as one would think."""
    found = []
    nothing = sorted({answer for answer in answers if answer.strip() and metric == "nf1" and not published_words(answer)})
    if nothing:
        found.append(f"{file}: answers like {nothing[0][:40]!r} have no word under the published nf1, so an empty prediction scores 1; accepted: leave out rules")
    foreign = sorted({answer for answer in answers if _UNSPACED.search(answer) or spelled(answer) != answer})
    if foreign:
        found.append(f"{file}: answers like {foreign[0][:40]!r} are compared by their code points alone under the published rules; accepted: leave out rules")
    return found
