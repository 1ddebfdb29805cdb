"""`python -m vsezoo`: the command line, for launchers that start modules."""

from vsezoo.cli import main

if __name__ == "__main__":
    main(prog_name="vsezoo")
