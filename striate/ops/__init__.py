"""The local-connection operators. `reference` states what they compute, in plain PyTorch."""
