"""Harness of the lung nodule benchmark; ``python -m benchmark --help`` says how to use it."""
