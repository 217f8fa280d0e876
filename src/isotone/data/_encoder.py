"""A table -> examples, by a vocabulary that was learnt from the training rows alone.

- what is not in the training rows is no feature, and the label never is one;
- adding words or names to a row only turns zeros of its vector into ones: the threat is about what the model sees;
- a cell that cannot be used fails its row, and no other.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, require
from ..offsets import zero_of
from . import _cells
from ._examples import Examples, first_failure
from ._streams import check_columns
from ._vocabulary import bags, check_request, counted, counted_columns, frequent, number_columns, training_numbers

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1


@dataclass(frozen=True)
class Encoder:
    """How rows become feature vectors: presence (0 or 1) of each name in `vocabulary`, then the numbers in `columns`.

    Presence, and nothing else, is what additions cannot undo: with counts divided by a length or a norm (TF-IDF with
    L2), every word that is added shrinks all others; with bigrams, a word put between two removes their pair; with
    truncation, words put in front push others out.

    Args:
        label: the column of labels; never a feature.
        text: the column whose words are the names, or None. A word is two or more of A-Z, a-z, 0-9, $, !, %, in lower
            case; all else, letters of other scripts too, separates words.
        names: the column whose lists are the names, or None. In CSV: one cell with names between spaces or semicolons,
            or a list such as ["a", "b"]; any other cell with a comma cannot be read.
        vocabulary: the names, sorted; with neither text nor names, each is a column of 0 and 1.
        columns: the columns of numbers, in the order of the training table.
        zeros: what each column of numbers is counted from (`isotone.offsets`); none: from 0.

    >>> import pyarrow as pa
    >>> mails = pa.table({"text": ["Free $$$ now", "see you now", "free you"], "class": ["spam", "ham", "spam"]})
    >>> encoder = Encoder.fit(mails, label="class", text="text")
    >>> encoder.features
    ('free', 'now', 'you')
    >>> encoder.encode(mails).names.toarray()
    array([[1., 1., 0.],
           [0., 1., 1.],
           [1., 0., 1.]], dtype=float32)
    """

    label: str
    text: str | None
    names: str | None
    vocabulary: tuple[str, ...]
    columns: tuple[str, ...]
    zeros: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        *,
        label: str,
        text: str | None = None,
        names: str | None = None,
        columns: Sequence[str] | None = None,
        ignore: Iterable[str] = (),
        min_rows: int = 2,
        max_names: int = 20_000,
    ) -> Encoder:
        """Learn the vocabulary of a table of TRAINING rows; split before you fit.

        Args:
            table: the training rows.
            label: the column of labels.
            text: a column of texts whose words are names.
            names: a column of lists of names.
            columns: which columns hold numbers. Default: all others, or none beside `text` or `names`. Without those
                two, a column whose training values are all 0 or 1 is a name, any other a number.
            ignore: columns, or globs of columns, to leave out.
            min_rows: a name in fewer training rows is no feature.
            max_names: only so many names, those in the most rows; ties go by name.

        Raises:
            NoMatch: `label`, `text`, `names`, a column or a glob that is not in the table.
            BadInput: a column of strings that nobody asked for; a cell that is no number (with its row, counted from
                1); both text and names; no feature left.
            MissingExtra: pyarrow is not installed.

        Cost: one pass over the table.
        """
        check_request(table, label, text, names, min_rows=min_rows, max_names=max_names)
        bag = text or names
        left = number_columns(table, {label, text, names}, bag is not None, columns, ignore)
        if bag is not None:
            counts, chosen = counted(table[bag], bag, text is not None), left
        else:
            counts, chosen = counted_columns(table, left)
        vocabulary = frequent(counts, min_rows, max_names)
        if both := sorted(set(vocabulary) & set(chosen)):
            then = "Rename the column."
            raise BadInput(
                "columns", f"{both[0]!r} is a column and a name too", "features need names that differ", then
            )
        if not vocabulary and not chosen:
            what = "word (of A-Z, a-z, 0-9, $, !, %)" if text else "name"
            came = f"no {what} is in {min_rows} training rows or more, and there is no column of numbers"
            raise BadInput("features", came, "at least one feature is needed", "Lower min_rows, or bring more rows.")
        zeros = [zero_of(training_numbers(table[name], name)) for name in chosen] if table.num_rows else []
        return cls(label, text, names, vocabulary, tuple(chosen), tuple(zeros) if any(zeros) else ())

    def only(self, features: Iterable[str]) -> Encoder:
        """The encoder of some of the features; the others are not looked at.

        >>> Encoder("class", "text", None, ("free", "now", "you"), ()).only(["now", "free"]).features
        ('free', 'now')
        """
        kept = set(features)
        names, columns = (tuple(n for n in all_ if n in kept) for all_ in (self.vocabulary, self.columns))
        zeros = tuple(zero for name, zero in zip(self.columns, self.zeros, strict=False) if name in kept)
        return replace(self, vocabulary=names, columns=columns, zeros=zeros)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features, in the order of `Examples.matrix()`: vocabulary, then columns."""
        return self.vocabulary + self.columns

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns a table must have to be encoded: what to give `read_blocks(columns=...)`."""
        bag = self.text or self.names
        return ((bag,) if bag is not None else self.vocabulary) + self.columns

    def encode(
        self,
        table: pa.Table,
        on_error: Literal["raise", "collect"] = "raise",
        failures: Mapping[int, str] | None = None,
    ) -> Examples:
        """The rows as feature vectors.

        Args:
            table: the columns in `needs`; others are not looked at.
            on_error: what a row does that cannot be encoded (a number that is missing, infinite or no number; a
                missing text; a list of names that is none). "raise" stops, "collect" lists it in `Examples.failures`.
            failures: rows already known to be bad (`Block.failures`); their reasons win.

        Returns:
            `Examples`, one row for each row of the table.

        Raises:
            BadInput: a column did not come, or, with "raise", the first row that cannot be encoded (counted
                from 1 in this table).

        Cost: O(cells); 12,000 rows of 2,000 presence columns take 0.2 s from numbers, 3 s from the strings of a CSV.
        """
        if on_error not in ("raise", "collect"):
            raise BadInput("on_error", f"{on_error!r} came", "it is 'raise' or 'collect'")
        check_columns("table", self.needs, table.column_names)
        faults: dict[int, str] = {}
        bag = self.text or self.names
        if bag is not None:
            matrix, unknown = self._bag_matrix(table, bag, faults)
        else:
            matrix, unknown = self._presence_matrix(table, faults), np.zeros(table.num_rows, dtype=np.int64)
        numbers = np.empty((table.num_rows, len(self.columns)), dtype=np.float32)
        for place, name in enumerate(self.columns):
            values, found = _cells.numbers(table[name])
            numbers[:, place] = values - (self.zeros[place] if self.zeros else 0.0)
            _note(faults, name, found)
        faults = {**faults, **(failures or {})}
        if faults and on_error == "raise":
            raise first_failure("table", faults)
        return _without(matrix, numbers, dict(sorted(faults.items())), unknown)

    def to_dict(self) -> dict[str, Any]:
        """Plain strings and lists, for JSON."""
        said = {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in fields(self)}
        if not self.zeros:  # as it was written before there were any, so that digests stay
            del said["zeros"]
        return {"format": FORMAT, **said}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Encoder:
        """What `to_dict` gave.

        Raises:
            BadInput: another format, a missing or a strange entry.

        >>> facts = Encoder("class", "text", None, ("free",), ()).to_dict()
        >>> Encoder.from_dict(facts).to_dict() == facts
        True
        """
        if facts.get("format") != FORMAT:
            raise BadInput("encoder", f"format {facts.get('format')!r} came", f"this isotone reads format {FORMAT}")
        strings = {key: facts.get(key) for key in ("label", "text", "names")}
        lists = {key: facts.get(key) for key in ("vocabulary", "columns")}
        bad = [key for key, v in strings.items() if not (isinstance(v, str) or (v is None and key != "label"))]
        bad += [key for key, v in lists.items() if not _distinct_strings(v)]
        zeros = facts.get("zeros", [])
        if not isinstance(zeros, list) or not all(isinstance(zero, float) and abs(zero) < np.inf for zero in zeros):
            bad.append("zeros")
        if not bad and zeros and len(zeros) != len(lists["columns"] or ()):
            bad.append("zeros")
        if bad:
            raise BadInput(
                "encoder", f"its entry {bad[0]!r} is {facts.get(bad[0])!r:.40}", "it is not what was written"
            )
        tuples = {key: tuple(v or ()) for key, v in lists.items()}
        return cls(**strings, **tuples, zeros=tuple(zeros))  # type: ignore[arg-type]

    def _bag_matrix(self, table: pa.Table, bag: str, faults: dict[int, str]) -> tuple[Any, NDArray[np.int64]]:
        """CSR of the words or names that are known, and how many of each row are not."""
        sparse = require("scipy.sparse", "tables")
        if self.text is None:
            found, bad = _cells.known_names(table[bag], self._known, self._places)
            _note(faults, bag, bad)
            rows, indices, unknown = found
        else:
            rows, indices, unknown = self._words(table[bag], bag, faults)
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=table.num_rows))])
        shape = (table.num_rows, len(self.vocabulary))
        return sparse.csr_matrix((np.ones(len(indices), np.float32), indices, starts), shape=shape), unknown

    @functools.cached_property
    def _known(self) -> Any:
        pa = require("pyarrow", "tables")
        return pa.array(self.vocabulary, pa.string())

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.vocabulary)}

    def _words(self, column: Any, bag: str, faults: dict[int, str]) -> _cells.Found:
        """The known words of each text."""
        unknown = np.zeros(len(column), dtype=np.int64)
        rows, indices = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for found, bad in bags(column, True):
            _note(faults, bag, bad)
            place = np.array([self._places.get(name, -1) for name in found.names], dtype=np.int64)[found.codes]
            unknown += np.bincount(found.rows[place < 0], minlength=len(column))
            rows.append(found.rows[place >= 0])
            indices.append(place[place >= 0])
        return _cells.Found(np.concatenate(rows), np.concatenate(indices), unknown)

    def _presence_matrix(self, table: pa.Table, faults: dict[int, str]) -> Any:
        """CSR of the columns of 0 and 1."""
        sparse = require("scipy.sparse", "tables")
        rows = [np.empty(0, np.int64)]
        for name in self.vocabulary:
            present, bad = _cells.presences(table[name])
            _note(faults, name, bad)
            rows.append(np.flatnonzero(present))
        starts = np.cumsum([len(found) for found in rows])
        indices = np.concatenate(rows)
        data = np.ones(len(indices), np.float32)
        return sparse.csc_matrix((data, indices, starts), shape=(table.num_rows, len(self.vocabulary))).tocsr()


def _without(matrix: Any, numbers: NDArray[np.float32], faults: dict[int, str], unknown: NDArray[np.int64]) -> Examples:
    """Examples in which the rows in `faults` are empty."""
    if faults:
        bad = np.zeros(len(unknown), dtype=np.bool_)
        bad[list(faults)] = True
        matrix.data[np.repeat(bad, np.diff(matrix.indptr))] = 0
        matrix.eliminate_zeros()
        numbers[list(faults)] = np.nan
        unknown[list(faults)] = 0
    matrix.sort_indices()
    return Examples(matrix, numbers, faults, unknown)


def _note(faults: dict[int, str], name: str, found: Mapping[int, str]) -> None:
    """Add what was found in a column; the first reason for a row stays."""
    for row, reason in found.items():
        faults.setdefault(row, f"column {name!r} {reason}")


def _distinct_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value) and len(set(value)) == len(value)
