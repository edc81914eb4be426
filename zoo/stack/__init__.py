"""Stacks: music from the priors of all levels of a codec, and runs of them that never lose work."""
