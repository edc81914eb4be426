"""Jukebox's codec: a hierarchy of VQ-VAEs from raw sound to ids (Dhariwal et al. 2020, section 3)."""
