"""What texts of any language say alike: the words that `em` and `nf1` compare for tasks of one's own.

The published rules (`scoring`) know English in ASCII: there "A" is no word, 北京市 shares nothing with 中国北京市, and an answer in
typographic quotes is wrong. Here texts are first brought to one spelling (Unicode NFKC, plain quotes and dashes); scripts that put
no space between words count by character, as MLQA's evaluation does (Lewis et al. 2020); and an answer never loses its last word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

UNICODE = "unicode"
RULES = (UNICODE, "published")
ARTICLES = ("a", "an", "the")

_PLAIN = str.maketrans(dict.fromkeys("‘’‚‛′", "'") | dict.fromkeys("“”„‟″«»「」『』", '"') | dict.fromkeys("‐‑‒–—―−", "-"))
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)
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


def needs_more(text: str) -> bool:
    """Whether the published rules compare this text by its code points alone."""
    return bool(_UNSPACED.search(text)) or spelled(text) != text
