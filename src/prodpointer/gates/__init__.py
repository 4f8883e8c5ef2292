"""Gates: conditions on the metrics of a version."""
