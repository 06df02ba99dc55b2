"""``python -m plugin COMMAND ...``: the same commands as ``mm-backbone``."""

from plugin.cli import main

if __name__ == '__main__':
    main()
