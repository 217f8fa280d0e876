"""Files that may be hostile: their bytes, and where the parts of a program lie.

- nothing is executed, mapped or loaded: bytes are read, some at a time, within limits of size and time;
- what cannot be read is refused by name, and whoever scores files must take a refusal for an alarm.
"""

from ._folder import Labelled as Labelled
from ._folder import labelled as labelled
from ._layout import Layout as Layout
from ._layout import Part as Part
from ._layout import layout as layout
from ._reading import FileBytes as FileBytes
from ._reading import Refused as Refused
