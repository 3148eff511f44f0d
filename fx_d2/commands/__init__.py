"""The commands: ``fx-d2 NAME`` runs one (:mod:`.cli`), and so does a file in ``tools/`` of a clone."""
