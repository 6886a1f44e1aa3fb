"""Numbers of one GPU in under six minutes: `python -m benchmarks.gpu_check`."""
