"""The events of a fleet, sent on: found by sweeps over the registry, kept in a cursor until a receiver took them."""
