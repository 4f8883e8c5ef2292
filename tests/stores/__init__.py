"""Artifacts in stores that MLflow reads itself, with a server of S3 in this process."""
