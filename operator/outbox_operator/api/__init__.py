"""What users write and read: the kinds, their typed specs with defaults, the conditions. The lowest layer."""
