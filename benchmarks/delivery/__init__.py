"""How much a delivery costs, beside what others use for it: ``python -m benchmarks.delivery``."""
