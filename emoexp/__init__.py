"""emoexp: does a language model carry emotion concepts as linear directions?

And do they drive what it does? See README.md for the commands.
"""

from emoexp.places import EXPERIMENTS

__version__ = "0.1.0"

# `emoexp.experiments` is the folder experiments/: beside this package in a checkout, inside it in
# a wheel.
__path__.append(str(EXPERIMENTS.parent))
