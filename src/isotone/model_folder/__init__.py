"""A trained detector on disk: a monotone network and its twin, a guarded detector, or one of raw files; no pickle."""

from ._byte_records import FileTally as FileTally
from ._byte_records import file_records as file_records
from ._bytes import ByteFolder as ByteFolder
from ._bytes import holds_bytes as holds_bytes
from ._folder import CERTIFICATE as CERTIFICATE
from ._folder import FACTS as FACTS
from ._folder import MODEL as MODEL
from ._folder import OURS as OURS
from ._folder import REPORT as REPORT
from ._folder import TWIN as TWIN
from ._folder import WEIGHTS as WEIGHTS
from ._folder import ModelFolder as ModelFolder
from ._folder import writable as writable
from ._guarded import GuardedFolder as GuardedFolder
from ._guarded import Model as Model
from ._guarded import load as load
from ._guarded import rows_of as rows_of
