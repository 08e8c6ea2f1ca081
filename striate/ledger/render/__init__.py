"""A ledger as text for a terminal and as a JSON document."""
