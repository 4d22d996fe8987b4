"""Ends the interpreter when imported."""

import sys

sys.exit("sample-exits: goodbye")
