"""`python -m isotone.certify` prints docs/operations.md."""

import sys

from ._operations import operations

sys.stdout.write(operations())
