"""Networks whose score moves one way only, for the features that must.

- the weights carry the guarantee, the biases are free;
- every layer works under any optimizer, since its constraint is declared on it (`isotone.constraints`).
"""

from ._alone import RowByRow as RowByRow
from ._bytes import ByteNetwork as ByteNetwork
from ._bytes_encoder import GatedConvolution as GatedConvolution
from ._bytes_encoder import GlobalGate as GlobalGate
from ._bytes_stream import ByteStream as ByteStream
from ._bytes_windows import Windows as Windows
from ._bytes_words import Words as Words
from ._dense import MonotoneLinear as MonotoneLinear
from ._dense import MonotoneMLP as MonotoneMLP
from ._dense import Saturating as Saturating
from ._ensemble import MonotoneEnsemble as MonotoneEnsemble
from ._graphs import GraphNetwork as GraphNetwork
from ._graphs_layer import GraphConv as GraphConv
from ._graphs_layer import NodeEncoder as NodeEncoder
from ._graphs_padded import PaddedGraphs as PaddedGraphs
from ._graphs_refused import refuse_unsafe_graph as refuse_unsafe_graph
from ._graphs_twin import GraphTwin as GraphTwin
from ._heads import Bounded as Bounded
from ._heads import CumulativeLink as CumulativeLink
from ._heads import Quantiles as Quantiles
from ._heads import head as head
from ._initialize import initialize_ as initialize_
from ._learned_ramps import LearnedRamps as LearnedRamps
from ._minmax import MinMax as MinMax
from ._names import Bag as Bag
from ._names import NameMax as NameMax
from ._names import NameSum as NameSum
from ._network import MonotoneNetwork as MonotoneNetwork
from ._patterns import MaxPatterns as MaxPatterns
from ._per_output import PerOutput as PerOutput
from ._ramps import Ramps as Ramps
from ._ramps import quantile_knots as quantile_knots
from ._residual import MonotoneResidual as MonotoneResidual
from ._safe import MonotoneBatchNorm as MonotoneBatchNorm
from ._safe import refuse_unsafe as refuse_unsafe
from ._switch import SwitchLinear as SwitchLinear
from ._tabular import TabularNetwork as TabularNetwork
