"""Coarse-to-fine variational optical flow: Brox et al. (2004) as in Ce Liu, "Beyond Pixels" (2009).

This is the project's own implementation, in float32 with numba, of the algorithm that the widely used `pyflow`
computes, with the same update order: `cpu` has the functions to call, `cuda` the same for GPUs, with another order of
relaxation. `data.flow.like_pyflow` offers it under pyflow's own call.
"""
