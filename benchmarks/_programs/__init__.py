"""Parts of benchmarks/programs.py."""
