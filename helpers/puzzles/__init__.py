"""Puzzles (notebook 01): problems with one answer, and solvers that write Long CoT.

countdown    three numbers and a target: a search in arithmetic
expressions  its answers, checked exactly
islanders    knights and knaves: a search in words
shared       splits by hash, reflections, the boxed answer of both
statements   what islanders say: in words, and whether it is true; their answers
"""
