"""Beyond imitation, for notebooks 08 and up: what the systems that stand beside the paper add to it.

scaling        many responses to a problem, or fewer tokens for each (08)
reinforcement  GRPO that goes on from a condition's adapter, with rewards.py and callbacks.py (09)
stickers       SIFT: the facts of a problem written out, and checked by two predictions (10)
"""
