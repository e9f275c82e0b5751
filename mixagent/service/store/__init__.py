"""Where everything of the service is kept: rows in a database, bytes by the hash of their content."""
