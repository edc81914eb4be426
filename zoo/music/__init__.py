"""Jukebox's priors: what a transformer over the ids of one level is told beside them (Dhariwal et al. 2020)."""
