"""`python -m gpusched.cli`: the same as `gpusched`."""

from gpusched.cli.main import main

if __name__ == "__main__":
    main()
