"""SQLite that does not wait for the disk, for the tests and the servers that they start."""
