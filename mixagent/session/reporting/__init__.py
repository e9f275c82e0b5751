"""What a run found and did, put together as its report."""
