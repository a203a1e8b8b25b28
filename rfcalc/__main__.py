"""`python -m rfcalc`."""

from rfcalc.command.cli import run

if __name__ == "__main__":
    run()
