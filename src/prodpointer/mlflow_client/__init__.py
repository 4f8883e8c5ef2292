"""The one place where MLflow's types and errors become ours.

MLflow is imported inside functions only, so that ``import prodpointer`` and ``prodpointer --help`` stay without it.
"""
