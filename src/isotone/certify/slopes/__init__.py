"""Stand-in until H1's slopes land."""
from typing import Any
def by_slopes(*args: Any) -> bool:
    return False
