"""``python -m prodpointer``: the command line."""

from prodpointer.cli.main import main

main(prog_name="prodpointer")
