"""The effects of the chain, each a streaming `Processor` over pure kernels."""
