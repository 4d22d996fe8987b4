"""``python -m wildcore``: the command line, where the script is not on the path."""

from wildcore.cli import main

if __name__ == "__main__":
    main(prog_name="wildcore")
