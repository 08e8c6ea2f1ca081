"""The account of a network: where its weights, work and memory go, and what each idea saved."""
