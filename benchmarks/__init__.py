"""Measures a gateway over the network only; ``python -m benchmarks --help`` says how."""
