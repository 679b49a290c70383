"""Tokens: one face over a Hugging Face fast tokenizer, with the special tokens that a serialised sample needs.

The added tokens follow LAMOL (Sun et al. 2020): `__ans__` before the answer, `__sep__` between context and question, `__pad__`,
`__unk__` for hidden words, `__gen__` in front of a sample that is to be generated, and one `__{task}__` a task in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

PAD, UNK, SEP, ANS, GEN = "__pad__", "__unk__", "__sep__", "__ans__", "__gen__"
SPECIAL = (PAD, UNK, SEP, ANS, GEN)


class BackboneError(ValueError):
    """A language model, tokenizer or weights file that cannot be used: one sentence with what was found and what is accepted."""


class Tokens:
    """Text to token ids and back. Ids from `first_own` on are the project's own tokens, all below belong to the tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        """tokenizer: a transformers fast tokenizer; the special tokens it lacks are added. Raises BackboneError without an end token."""
        if getattr(tokenizer, "backend_tokenizer", None) is None:
            raise BackboneError(f"tokenizer: found {type(tokenizer).__name__}; accepted: a fast tokenizer (tokenizer.json)")
        if tokenizer.eos_token_id is None:
            raise BackboneError("tokenizer: no end-of-sequence token; accepted: a tokenizer whose eos_token is set")
        self.tokenizer = tokenizer
        self._add(SPECIAL)
        self.pad_id, self.unk_id, self.sep_id, self.ans_id, self.gen_id = (self._id(token) for token in SPECIAL)
        self.eos_id: int = tokenizer.eos_token_id
        self.first_own = min(self._id(token) for token in SPECIAL)
        self.task_ids: dict[str, int] = {}
        # Text of a sample that happens to read "__ans__" is text, never the special token. The backend is called directly because
        # transformers puts this switch back on every call.
        self._backend = tokenizer.backend_tokenizer
        self._backend.encode_special_tokens = True
        self._backend.no_truncation()
        self._backend.no_padding()

    def add_task_tokens(self, names: Iterable[str]) -> None:
        """Add `__{name}__` where missing. Use `Backbone.add_task_tokens`, which also gives the model their embeddings."""
        for name in names:
            token = f"__{name}__"
            if token in SPECIAL:
                raise BackboneError(f"task {name!r}: its token {token} is taken; accepted: a task name other than pad, unk, sep, ans, gen")
            self._add([token])
            self.task_ids[name] = self._id(token)

    def gen_for(self, task: str | None) -> int:
        """Id of the generation token of a task; None: the one all tasks share. Raises KeyError for a task without token."""
        if task is None:
            return self.gen_id
        if task not in self.task_ids:
            raise KeyError(f"task {task!r} has no generation token; known: {', '.join(self.task_ids) or 'none'}")
        return self.task_ids[task]

    @property
    def special_ids(self) -> frozenset[int]:
        """Every id that is no text: pad, unk, sep, ans, gen, the tasks' and the end token."""
        return frozenset((self.pad_id, self.unk_id, self.sep_id, self.ans_id, self.gen_id, self.eos_id, *self.task_ids.values()))

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without any special token."""
        return self._backend.encode(text, add_special_tokens=False).ids if text else []

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many texts in one call."""
        return [found.ids for found in self._backend.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, white space at the ends removed; special tokens are written out."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False).strip()

    def __len__(self) -> int:
        return len(self.tokenizer)

    def _id(self, token: str) -> int:
        return self.tokenizer.convert_tokens_to_ids(token)

    def _add(self, names: Iterable[str]) -> None:
        known = self.tokenizer.get_vocab()
        missing = [name for name in names if name not in known]
        if missing:
            self.tokenizer.add_tokens(missing, special_tokens=True)
