"""`python -m assay` is the command `assay`, of that Python."""

from assay.cli.app import main

if __name__ == "__main__":
    main()
