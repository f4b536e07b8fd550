"""Generators of the files in this repository that are made from other files; ``tools.generate`` runs them all."""
