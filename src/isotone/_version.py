"""The version, in a place of its own so that every storey can say it."""

__version__ = "0.1.0"
