"""The data set that comes with isotone."""

from __future__ import annotations

import importlib.resources
from typing import TYPE_CHECKING

from ..errors import BadInput
from ._tables import read_table

if TYPE_CHECKING:
    import pyarrow as pa


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
    source = importlib.resources.files("isotone") / "datasets" / "debian_programs" / "programs.parquet"
    if not source.is_file():
        then = "Install isotone from its wheel, or make the file with datasets/debian_programs/build.py."
        raise BadInput(
            "debian_programs", "its file did not come with this copy of isotone", "it is part of the wheel", then
        )
    with importlib.resources.as_file(source) as path:
        return read_table(path)
