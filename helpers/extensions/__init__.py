"""Beyond imitation, for notebooks 08 and up: what the systems that stand beside the paper add to it.

scaling.py: many responses to a problem, or fewer tokens for each
rewards.py: what reinforcement learning pays a response for
reinforcement.py: reinforcement that goes on from a condition's adapter
"""
