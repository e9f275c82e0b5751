"""Jobs: what may be asked for, how it is asked of the library, and the queue."""
