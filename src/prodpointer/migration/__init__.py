"""From stages to aliases: plan, apply, verify, finish, undo, bridge."""
