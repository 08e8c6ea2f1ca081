"""striate: smaller vision networks by local connectivity, weight sharing and pooling."""
