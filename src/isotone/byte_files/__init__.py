"""A detector of files from their bytes: train it on a folder with labels, keep it, scan with it.

- memory does not grow with the length of a file, in training neither;
- what cannot be read to its end is an alarm: a scan fails closed, one file at a time.
"""

from ._detector import ByteDetector as ByteDetector
from ._detector import Scanned as Scanned
from ._folder import digest_of as digest_of
from ._folder import train_byte_detector as train_byte_detector
from ._training import ByteHistory as ByteHistory
from ._training import ByteRecipe as ByteRecipe
from ._training import logits_of_files as logits_of_files
from ._training import train_bytes as train_bytes
