"""emoexp: does a language model carry emotion concepts as linear directions, and do they drive what it does?"""

__version__ = "0.1.0"
