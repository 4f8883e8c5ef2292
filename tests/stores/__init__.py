"""Artifacts in object stores that MLflow reads itself, with an S3 server in this process."""
