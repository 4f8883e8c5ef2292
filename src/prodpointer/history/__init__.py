"""The record of moves: one event as text, and what the events tell."""
