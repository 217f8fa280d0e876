"""What is known of scikit-learn's encoders: which cannot be undone by additions, which can, and why.

- a row of the table is one class; it is asked for its settings and for what it has learnt;
- SAFE carries a proof, BREAKS an addition to look for; what has no row is not judged;
- only the class itself is known, never a class made from it.

SAFE, for texts: each encoded feature of a text with words added is at or above its feature of the text. For tables:
encoded column j is a non-decreasing function of column j alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SAFE, BREAKS, NOT_KNOWN = "safe", "breaks", "not known"
WORDS = r"(?u)\b\w\w+\b"


@dataclass(frozen=True)
class StepFinding:
    """One step of a pipeline: its name and class, `word` (safe, breaks, not known), and the reason."""

    step: str
    kind: str
    word: str
    reason: str

    def __str__(self) -> str:
        return f"{self.step} ({self.kind}): {self.word}; {self.reason}"


Judged = tuple[str, str]
Rule = Callable[[Any, str], Judged]  # (fitted step, "insert" | "append" | "raise") -> word, reason


def judge(step: str, made: Any, addition: str) -> StepFinding:
    """What the table says of a fitted step."""
    cls = type(made)
    rule = RULES.get(f"{cls.__module__.split('.')[0]}.{cls.__name__}")
    word, reason = (NOT_KNOWN, "isotone has no row for it") if rule is None else rule(made, addition)
    return StepFinding(step, cls.__name__, word, reason)


def _counting(made: Any, addition: str) -> Judged:
    """CountVectorizer and what is made like it."""
    if addition == "raise":
        return NOT_KNOWN, "it reads texts, not tables"
    if callable(made.analyzer) or made.tokenizer is not None or made.preprocessor is not None:
        return NOT_KNOWN, "its analyzer, tokenizer or preprocessor is a function of your own"
    if made.input != "content" or np.dtype(made.dtype).itemsize < 4:
        return NOT_KNOWN, "it reads files, or its counts may run over"
    if made.strip_accents is not None:
        return NOT_KNOWN, "strip_accents composes letters with what follows them"
    longest = max(made.ngram_range)
    if made.analyzer == "word" and longest > 1:
        if addition == "insert":
            return BREAKS, f"ngram_range={made.ngram_range}: a word put between two removes their pair"
        return SAFE, "windows of a sequence of words stay when words come before or after it"
    if made.analyzer == "char":
        if addition == "insert":
            return BREAKS, "analyzer='char': a word put into the middle of a piece removes the piece"
        return NOT_KNOWN, "analyzer='char' makes several spaces one, so text that begins with one can break a piece"
    if made.analyzer == "word" and made.token_pattern != WORDS:
        return NOT_KNOWN, "its token_pattern may look across spaces"
    # Small letters: the one that depends on its neighbours, final sigma, looks no further than the next space.
    return SAFE, "words, or pieces within words: what is set apart by spaces is counted by itself"


def _normed(made: Any, addition: str) -> Judged | None:
    if made.norm is None:
        return None
    then = "each addition shrinks all other features; norm=None keeps them"
    return BREAKS, f"norm={made.norm!r} divides a row by its length: {then}"


def _hashing(made: Any, addition: str) -> Judged:
    if made.alternate_sign:
        return BREAKS, "alternate_sign=True: a word may count as -1, and cancels others that share its place"
    return _normed(made, addition) or _counting(made, addition)


def _factors(made: Any) -> Judged | None:
    if made.use_idf and not bool((np.asarray(made.idf_) >= 0).all()):
        return BREAKS, "an idf factor is negative"
    return None


def _tfidf(made: Any, addition: str) -> Judged:
    # sublinear_tf: 0 stays 0, and 1 + log(n) rises from 1 with the count n = 1, 2, ...
    scale = getattr(made, "_tfidf", made)  # as fitted: a setting that was changed afterwards does not count
    return _normed(scale, addition) or _factors(scale) or _counting(made, addition)


def _tfidf_step(made: Any, addition: str) -> Judged:
    if found := _normed(made, addition) or _factors(made):
        return found
    if addition == "raise" and made.sublinear_tf:
        return NOT_KNOWN, "sublinear_tf rises with counts, not with numbers below 1"
    return SAFE, "each count is multiplied by a factor from 0 up"


def _ours(made: Any, addition: str) -> Judged:
    if addition == "raise":
        return NOT_KNOWN, "it reads texts, not tables"
    alike = made.additions == addition or (made.analyzer != "char" and max(made.ngram_range) == 1)
    if alike:
        return SAFE, f"made for additions={addition!r}: see its proof"
    return BREAKS, f"it was made for additions={made.additions!r}"


def _scaled(attribute: str) -> Rule:
    """x -> (x - shift) / scale, column by column."""

    def rule(made: Any, addition: str) -> Judged:
        scale = getattr(made, attribute, None)
        if scale is not None and not bool((np.asarray(scale) > 0).all()):
            return BREAKS, f"{attribute} is not above 0 everywhere"
        return SAFE, "each column is shifted and divided by a number above 0"

    return rule


def _safe(reason: str) -> Rule:
    return lambda made, addition: (SAFE, reason)


def _breaks(reason: str) -> Rule:
    return lambda made, addition: (BREAKS, reason)


def _unknown(reason: str) -> Rule:
    return lambda made, addition: (NOT_KNOWN, reason)


def _quantiles(made: Any, addition: str) -> Judged:
    if made.output_distribution != "uniform":
        return NOT_KNOWN, "of sparse rows the zeros stay 0, and numbers above 0 may become negative"
    return SAFE, "each column goes through its own distribution function, which rises from 0 to 1"


def _bins(made: Any, addition: str) -> Judged:
    if made.encode == "ordinal":
        return SAFE, "the number of the bin rises with the number, column by column"
    return BREAKS, f"encode={made.encode!r}: a number that rises leaves its bin, whose component falls from 1 to 0"


def _imputed(made: Any, addition: str) -> Judged:
    if made.add_indicator:
        return BREAKS, "add_indicator=True: what is filled in falls from 1 to 0"
    what = f"strategy={made.strategy!r}"
    return BREAKS, f"{what} puts a missing value among the others: one below it that becomes known lowers the feature"


def _function(made: Any, addition: str) -> Judged:
    if made.func is None:
        return SAFE, "it changes nothing"
    return NOT_KNOWN, "a function of your own"


# fmt: off
RULES: dict[str, Rule] = {
    "sklearn.CountVectorizer":      _counting,
    "sklearn.HashingVectorizer":    _hashing,
    "sklearn.TfidfVectorizer":      _tfidf,
    "sklearn.TfidfTransformer":     _tfidf_step,
    "isotone.PresenceVectorizer":   _ours,
    "isotone.ColumnEncoder":        _safe("made for it: each kind of column has its proof"),
    "sklearn.StandardScaler":       _scaled("scale_"),
    "sklearn.MinMaxScaler":         _scaled("scale_"),
    "sklearn.MaxAbsScaler":         _scaled("scale_"),
    "sklearn.RobustScaler":         _scaled("scale_"),
    "sklearn.QuantileTransformer":  _quantiles,
    "sklearn.Binarizer":            _safe("0 up to the threshold, 1 above it"),
    "sklearn.FunctionTransformer":  _function,
    "sklearn.PowerTransformer":     _unknown("rising in exact arithmetic; its floats overflow for extreme powers"),
    "sklearn.KBinsDiscretizer":     _bins,
    "sklearn.SimpleImputer":        _imputed,
    "sklearn.KNNImputer":           _breaks("what is filled in depends on the other columns, up and down"),
    "sklearn.IterativeImputer":     _breaks("what is filled in depends on the other columns, up and down"),
    "sklearn.Normalizer":           _breaks("it divides a row by its length: what rises makes all others fall"),
    "sklearn.OneHotEncoder":        _breaks("a value that rises leaves its category, whose component falls to 0"),
    "sklearn.OrdinalEncoder":       _unknown("its numbers rise in an order that may not be yours"),
    "sklearn.PolynomialFeatures":   _breaks("a product falls when one factor rises and the other is below 0"),
    "sklearn.SplineTransformer":    _breaks("a spline's component is a hump: it falls again behind it"),
    "sklearn.PCA":                  _breaks("its directions have coefficients of both signs"),
    "sklearn.TruncatedSVD":         _breaks("its directions have coefficients of both signs"),
    "sklearn.FeatureHasher":        _unknown("names share places, and alternate_sign=True counts some of them as -1"),
}
# fmt: on


def steps_of(encoder: Any, addition: str) -> tuple[StepFinding, ...]:
    """What is known of every step, from the outside in; a function of the user's own is one step that is not known."""
    return tuple(_walk("", encoder, addition))


def _walk(name: str, made: Any, addition: str) -> list[StepFinding]:
    kind = f"{type(made).__module__.split('.')[0]}.{type(made).__name__}"
    if made is None or (isinstance(made, str) and made in ("passthrough", "drop")):
        return []
    own = [method for method in getattr(made, "__dict__", ()) if callable(getattr(type(made), method, None))]
    if own:
        return [StepFinding(name or "encoder", type(made).__name__, NOT_KNOWN, f"it has a {own[0]}() of its own")]
    if kind == "sklearn.Pipeline":
        return [found for step, part in made.steps for found in _walk(f"{name}{step}", part, addition)]
    if kind == "sklearn.FeatureUnion":
        # Side by side: as safe as each part is, for texts; columns of a table change places.
        parts = [found for step, part in made.transformer_list for found in _walk(f"{name}{step}", part, addition)]
        if made.transformer_weights is None and addition != "raise":
            return parts
        return [*parts, StepFinding(name or "encoder", "FeatureUnion", NOT_KNOWN, "columns are weighted or moved")]
    if kind == "sklearn.ColumnTransformer":
        parts = [f for step, part, _ in made.transformers_ if part != "drop" for f in _walk(step, part, addition)]
        return [*parts, StepFinding(name or "encoder", "ColumnTransformer", NOT_KNOWN, "columns change their places")]
    return [judge(name or "encoder", made, addition)]
