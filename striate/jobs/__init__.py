"""The jobs a user asks for: the steps of the reduction in order, each journaled in a run directory."""
