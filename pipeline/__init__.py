"""Every stage from file to master, and the graph that runs them."""

from mixagent.pipeline.kernels import settle_kernel_folder

settle_kernel_folder()
