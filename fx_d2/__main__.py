"""``python -m fx_d2 COMMAND``: the same as ``fx-d2 COMMAND``, for torchrun and where the command is not on the path."""

from .commands.cli import main

if __name__ == "__main__":
    main()
