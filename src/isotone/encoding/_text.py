"""Words and pieces of words as features that additions cannot lower.

- adding words to a text never lowers a feature: it keeps every feature it had, and may gain some;
- which additions that is true of is a setting, and settings for which it would be false are refused with the reason.

This file needs scikit-learn, so `isotone.encoding` opens it only when it is asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import BadInput, require

require("sklearn", "tables")
sparse = require("scipy.sparse", "tables")

from sklearn.base import BaseEstimator, TransformerMixin  # noqa: E402 - after the sentence about what is missing
from sklearn.utils.validation import check_is_fitted  # noqa: E402

FORMAT = 1
SETTINGS = ("additions", "analyzer", "ngram_range", "counts", "lowercase", "token_pattern", "min_df", "max_features")
# fmt: off
REFUSED = {
    # setting       the reason
    "norm":       "a text divided by its length loses weight in every word it had with each word that is added",
    "max_tokens": "words put in front push others out of a text that is cut at a length",
}
# fmt: on


class PresenceVectorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """Presence (0 or 1) or counts of words, or of pieces of words, as a scikit-learn transformer.

    Args:
        additions: what may be added to a text without lowering a feature.
            "insert": whole words, set apart by whitespace, anywhere between the words that are there.
            "append": text before or after the whole of it; for words and for pieces within words it must be set apart
            by whitespace, for pieces across the text (`analyzer="char"`) it need not be.
        analyzer: "word" words; "char_wb" pieces of each whitespace-separated word with a space on either side; "char"
            pieces of the text, whitespace as it is. "char" needs additions="append": text put into the middle of a
            piece breaks it.
        ngram_range: (least, most) number of words or characters. Several words need additions="append": a word put
            between two removes their pair.
        counts: how often, instead of whether.
        lowercase: whether capital letters count as small ones.
        token_pattern: a regular expression for the words within a whitespace-separated piece of text.
        min_df: a feature in fewer training texts is left out.
        max_features: only so many, those in most training texts; ties go by name.
        norm, max_tokens: anything but None is refused, with the reason.

    TF-IDF's factor per word would do no harm (a network learns it by itself); its division by a text's length does.

    Proof. "word" with single words and "char_wb": the text is cut at whitespace first, each part gives its features by
    itself, and a feature is the sum (or the maximum) over parts of numbers from 0 up; an insertion only adds parts.
    "char", and several words: features are the windows of a sequence of characters (each made small by itself) or of
    words; an addition before or after keeps the sequence as a run of the longer one, and with it every window.

    >>> texts = ["Free money", "see you", "free you"]
    >>> vectorizer = isotone.encoding.PresenceVectorizer().fit(texts)
    >>> list(vectorizer.get_feature_names_out())
    ['free', 'money', 'see', 'you']
    >>> vectorizer.transform(["FREE, free to see"]).toarray()
    array([[1., 0., 1., 0.]], dtype=float32)
    """

    def __init__(
        self,
        *,
        additions: str = "insert",
        analyzer: str = "word",
        ngram_range: tuple[int, int] = (1, 1),
        counts: bool = False,
        lowercase: bool = True,
        token_pattern: str = r"[\w$!%]{2,}",
        min_df: int = 1,
        max_features: int | None = None,
        norm: None = None,
        max_tokens: None = None,
    ) -> None:
        self.additions = additions
        self.analyzer = analyzer
        self.ngram_range = ngram_range
        self.counts = counts
        self.lowercase = lowercase
        self.token_pattern = token_pattern
        self.min_df = min_df
        self.max_features = max_features
        self.norm = norm
        self.max_tokens = max_tokens

    def fit(self, texts: Iterable[str], y: Any = None) -> PresenceVectorizer:
        """Learn which features the TRAINING texts have.

        Raises:
            BadInput: settings for which additions could lower a feature; one string instead of several; a text that is
                no string; no feature left.

        Cost: one pass over the texts.
        """
        self._check()
        rows: Counter[str] = Counter()
        for text in _texts(texts):
            rows.update(set(self._pieces(text)))
        kept = sorted((name for name in rows if rows[name] >= self.min_df), key=lambda name: (-rows[name], name))
        if not kept:
            raise BadInput("texts", f"no feature is in {self.min_df} of them or more", "one is needed", "Lower min_df.")
        self.features_ = tuple(sorted(kept[: self.max_features]))
        return self

    def transform(self, texts: Iterable[str]) -> Any:
        """The texts as a scipy CSR matrix of float32, shape (texts, features).

        Raises:
            BadInput: one string instead of several; a text that is no string.
        """
        check_is_fitted(self, "features_")
        places = {name: place for place, name in enumerate(self.features_)}
        indices, values, ends = [], [], [0]
        for text in _texts(texts):
            found = Counter(places[piece] for piece in self._pieces(text) if piece in places)
            indices += sorted(found)
            values += [found[place] if self.counts else 1 for place in sorted(found)]
            ends.append(len(indices))
        at = (np.array(values, dtype=np.float32), np.array(indices, dtype=np.int64), np.array(ends, dtype=np.int64))
        return sparse.csr_matrix(at, shape=(len(ends) - 1, len(self.features_)))

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """The features in the order of the columns."""
        check_is_fitted(self, "features_")
        return np.array(self.features_, dtype=object)

    def to_dict(self) -> dict[str, Any]:
        """Settings and features as plain JSON."""
        settings = {name: getattr(self, name) for name in SETTINGS}
        settings["ngram_range"] = list(self.ngram_range)
        return {"format": FORMAT, "settings": settings, "features": list(self.features_)}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> PresenceVectorizer:
        """What `to_dict` gave.

        Raises:
            BadInput: another format, or settings that are refused.
        """
        if facts.get("format") != FORMAT:
            raise BadInput("vectorizer", f"format {facts.get('format')!r} came", f"this isotone reads format {FORMAT}")
        settings = dict(facts["settings"])
        vectorizer = cls(**{**settings, "ngram_range": tuple(settings["ngram_range"])})
        vectorizer._check()
        vectorizer.features_ = tuple(facts["features"])
        return vectorizer

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags

    def _check(self) -> None:
        """Refuse what additions could lower."""
        for setting, reason in REFUSED.items():
            if (value := getattr(self, setting)) is not None:
                raise BadInput(setting, f"{value!r} came", f"None is right: {reason}")
        if self.additions not in ("insert", "append"):
            raise BadInput("additions", f"{self.additions!r} came", "'insert' or 'append' would be right")
        if self.analyzer not in ("word", "char_wb", "char"):
            raise BadInput("analyzer", f"{self.analyzer!r} came", "'word', 'char_wb' or 'char' would be right")
        least, most = self.ngram_range
        if not 1 <= least <= most:
            raise BadInput("ngram_range", f"{self.ngram_range!r} came", "two whole numbers, 1 <= least <= most")
        if self.additions == "insert":
            then = "Use additions='append' if that is all that can be added."
            if self.analyzer == "char":
                right = "text put into the middle of a piece breaks it, so 'char_wb' would be right"
                raise BadInput("analyzer", "pieces across the text came with additions='insert'", right, then)
            if self.analyzer == "word" and most > 1:
                right = "a word put between two removes their pair, so (1, 1) would be right"
                raise BadInput("ngram_range", f"{self.ngram_range!r} came with additions='insert'", right, then)

    def _pieces(self, text: str) -> Iterator[str]:
        """The features of a text, repeated as often as they occur."""
        least, most = self.ngram_range
        if self.analyzer == "char":
            # Letter by letter: the small form of a final sigma depends on what follows.
            whole = "".join(letter.lower() for letter in text) if self.lowercase else text
            yield from _windows(whole, least, most, "")
            return
        parts = [part.lower() if self.lowercase else part for part in text.split()]
        if self.analyzer == "char_wb":
            for part in parts:
                yield from _windows(f" {part} ", least, most, "")
            return
        pattern = re.compile(self.token_pattern)
        words = [match.group() for part in parts for match in pattern.finditer(part)]
        yield from words if most == 1 else _windows(words, least, most, " ")


def _windows(sequence: Any, least: int, most: int, between: str) -> Iterator[str]:
    """All runs of `least` to `most` entries."""
    for length in range(least, most + 1):
        for start in range(len(sequence) - length + 1):
            yield between.join(sequence[start : start + length])


def _texts(texts: Iterable[str]) -> Iterator[str]:
    if isinstance(texts, str):
        raise BadInput("texts", "one string came", "several, in a list or a column, would be right")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadInput("texts", f"row {row} is {text!r:.40}, no string", "strings would be right, '' for no text")
        yield text
