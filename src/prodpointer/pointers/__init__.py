"""What differs between MLflow's two worlds, each behind the same three verbs."""
