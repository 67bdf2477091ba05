"""`python -m humanpt`, the same as the `humanpt` command."""

from humanpt.cli.app import main

if __name__ == "__main__":
    main()
