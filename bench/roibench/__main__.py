"""`python -m roibench` is the command `roibench`."""

from roibench.cli import main

main()
