"""`python -m toolkit`."""

from toolkit.cli.start import start

start()
