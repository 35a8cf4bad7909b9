"""Benchmarks: each module measures one part of Laneway; run them as `python -m benchmarks.NAME`."""
