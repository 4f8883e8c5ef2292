"""Who still uses stages in a source tree."""
