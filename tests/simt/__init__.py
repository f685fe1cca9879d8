"""CUDA kernels executed without a GPU: see README.md."""
