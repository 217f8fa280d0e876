"""Tables and texts as numbers for a monotone network, so that no order is lost on the way.

- whatever grows in the table or text grows, or stays, in what is encoded;
- `audit_pipeline` asks the same of other people's encoders;
- knows columns and words, not networks.
"""

from typing import TYPE_CHECKING, Any

from ._audit import audit_pipeline as audit_pipeline
from ._columns import ColumnEncoder as ColumnEncoder
from ._found import EncodedWitness as EncodedWitness
from ._found import PipelineAudit as PipelineAudit

if TYPE_CHECKING:
    from ._text import PresenceVectorizer as PresenceVectorizer


def __getattr__(name: str) -> Any:
    if name == "PresenceVectorizer":  # a scikit-learn transformer: scikit-learn is imported for those who ask
        from ._text import PresenceVectorizer  # noqa: PLC0415

        return PresenceVectorizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
