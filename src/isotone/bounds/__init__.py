"""What no attacker of a stated strength can do: certified bounds for single samples.

- how many additions are needed at least, for networks that nobody made monotone as well;
- certified beside empirical detection, at every budget.
"""

from ._additions import additions_needed as additions_needed
from ._additions import score_bound as score_bound
from ._bytes import ByteFloor as ByteFloor
from ._bytes import Edits as Edits
from ._bytes import byte_floor as byte_floor
from ._bytes_proof import ByteCertificate as ByteCertificate
from ._bytes_proof import byte_certificate as byte_certificate
from ._bytes_reasons import ByteReasons as ByteReasons
from ._bytes_reasons import byte_reasons as byte_reasons
from ._graphs import GraphCertificate as GraphCertificate
from ._graphs import GraphFloors as GraphFloors
from ._graphs import graph_certificate as graph_certificate
from ._graphs import graph_floors as graph_floors
from ._graphs_reasons import GraphReasons as GraphReasons
from ._graphs_reasons import graph_reasons as graph_reasons
from ._needed import UNLIMITED as UNLIMITED
from ._needed import Contradiction as Contradiction
from ._needed import Needed as Needed
from ._needed import beside as beside
from ._needed import certified_curve as certified_curve
from ._needed import either as either
