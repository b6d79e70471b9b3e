"""The parts of ``benchmarks/gpu.sh``: tests, rates and training on a GPU, and their results."""
