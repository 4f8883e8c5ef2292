"""``python -m prodpointer``: the command line."""

from prodpointer.cli import main

main(prog_name="prodpointer")
