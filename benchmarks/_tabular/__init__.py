"""The parts of benchmarks/tabular.py: tables, splits, models, one judgement, records, statistics, the page."""
