"""Parts of benchmarks/graphs.py."""
