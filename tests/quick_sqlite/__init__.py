"""SQLite that does not wait for the disk, for tests and their servers."""
