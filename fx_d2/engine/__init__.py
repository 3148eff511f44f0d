"""Training: :mod:`.build` assembles everything and is the place to read first."""
