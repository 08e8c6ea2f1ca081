"""Models and data as named on a command line, the small built-in zoo, and data as Python callers hold them."""

from striate.sources.data.examples import as_examples

__all__ = ["as_examples"]
