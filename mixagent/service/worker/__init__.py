"""The processes that touch songs: one that checks an upload, and warm ones that run jobs."""
