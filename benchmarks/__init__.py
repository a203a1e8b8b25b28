"""Measurements behind the claims of the documents; run from the root as `python -m benchmarks.NAME`."""
