"""Benchmark harness for prompt learning of CLIP under noisy labels."""

__version__ = "0.1.0"
