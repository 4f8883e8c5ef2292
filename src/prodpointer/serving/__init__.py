"""Loading the live version, and following it."""
