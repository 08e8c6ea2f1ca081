"""The small networks of the explainer: how they are wired, trained on the digits, stored and read again."""
