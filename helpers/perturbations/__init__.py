"""Perturbations (notebook 02): the arms of the study.

arms         the registry: every arm by its name, and `perturb`, which applies one to a trace
content      arms that change what steps say: digits, keywords, ...
located      random digits in one part of the trace
structure    arms that move, remove or replace steps: shuffle, delete, insert, ...
steps        a step with its origin, and the tools that arms share
propagation  a slip in a puzzle that the following steps build on
arm_files    one Parquet file per arm
metrics      how far an arm changes a trace
"""
