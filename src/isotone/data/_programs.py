"""The data set that comes with isotone: what programs import, and which of their functions calls which."""

from __future__ import annotations

import importlib.resources
from typing import TYPE_CHECKING

from ..errors import BadInput, require
from ._tables import read_table

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("move", "arithmetic", "logic", "compare", "branch", "call", "vector", "system")


def debian_programs() -> pa.Table:
    """Which functions Debian's programs import, and whether they can open a network connection.

    Returns:
        One row a program: package, source, version, section, path, sha256 (strings), size (bytes), imports (list of
        names, sorted), masked_imports (names kept from the features, since they make the label or nearly do), and
        network, the label: 1 if the program imports a function that opens a connection. Split by `source`: programs
        of one source package share code.

    Raises:
        BadInput: this copy of isotone came without the file.

    Source: made by datasets/debian_programs/build.py from Debian 12 packages; facts only, no code.
    """
    return _shipped("programs.parquet", "build.py")


def debian_call_graphs() -> pa.Table:
    """Which function calls which in Debian's programs: the rows of `debian_programs` of at most 1,000 functions.

    Returns:
        One row a program: sha256, package, source (strings), network (the label, as there), functions (of each its
        numbers of instructions by kind, in the order of `isotone.data.KINDS`), imports (list of names that are called,
        sorted, without masked ones), callers and callees (two lists of one length: who calls whom). A function is known
        by its number from 0; import i has the number `len(functions) + i`. Functions stand in the order of their
        addresses. `call_graphs` makes graphs of the rows.

    Raises:
        BadInput: this copy of isotone came without the file.

    Cost: about a second, and 100 MB.

    Source: made by datasets/debian_programs/graphs.py from Debian 12 packages; facts only, no code.
    """
    table = _shipped("graphs.parquet", "graphs.py")
    pa, np = require("pyarrow", "tables"), require("numpy", "tables")
    counts = table["instructions"].combine_chunks()
    # Eight numbers a function stand in one row; Arrow folds them without looking at any.
    per_function = pa.FixedSizeListArray.from_arrays(counts.flatten(), len(KINDS))
    starts = np.asarray(counts.offsets) - int(counts.offsets[0].as_py())
    functions = pa.ListArray.from_arrays(pa.array(starts // len(KINDS), pa.int32()), per_function)
    return table.set_column(table.schema.get_field_index("instructions"), "functions", functions)


def _shipped(name: str, maker: str) -> pa.Table:
    source = importlib.resources.files("isotone") / "datasets" / "debian_programs" / name
    if not source.is_file():
        then = f"Install isotone from its wheel, or make the file with datasets/debian_programs/{maker}."
        raise BadInput(
            "debian_programs", "its file did not come with this copy of isotone", "it is part of the wheel", then
        )
    with importlib.resources.as_file(source) as path:
        return read_table(path)
