"""The service: songs over HTTP, jobs in a queue, warm workers, results that are kept until deleted."""
