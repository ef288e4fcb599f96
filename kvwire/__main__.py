"""``python -m kvwire``: the command line, for whoever starts it by an interpreter."""

from kvwire.cli.main import main

if __name__ == "__main__":
    main()
