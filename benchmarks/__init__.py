"""Side-by-side measurements: ours, peers, and what the machine could do at most. Run ``python -m benchmarks``."""
