"""docs/detection.md and its plots, from the records alone."""

from __future__ import annotations


def summary(path):
    return str(path)


def write(out, docs):
    return ""
