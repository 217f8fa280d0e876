"""Files -> tensors: read rows, learn a vocabulary from the training rows, encode, split without leaks."""

from ._encoder import Encoder as Encoder
from ._examples import Examples as Examples
from ._jsonl import cells_of as cells_of
from ._labels import labels_of as labels_of
from ._labels import words_of as words_of
from ._program_bytes import debian_program_bytes as debian_program_bytes
from ._program_bytes import hide_names as hide_names
from ._program_graphs import NODE_FEATURES as NODE_FEATURES
from ._program_graphs import call_graphs as call_graphs
from ._program_graphs import import_numbers as import_numbers
from ._programs import KINDS as KINDS
from ._programs import debian_call_graphs as debian_call_graphs
from ._programs import debian_programs as debian_programs
from ._row_hashes import row_hashes as row_hashes
from ._split import Split as Split
from ._split import folds as folds
from ._split import split as split
from ._split import split_by_time as split_by_time
from ._streams import Block as Block
from ._tables import read_blocks as read_blocks
from ._tables import read_table as read_table
from ._times import Times as Times
from ._times import times_of as times_of
