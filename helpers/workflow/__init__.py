"""Workflow (Snakefile, Makefile): recipes, and the notebooks run one after another.

recipe      one YAML file per study, checked before anything runs
chain       Snakemake and papermill: what `make reproduce` calls
progress    what the chain prints while it runs
provenance  versions, machine and times next to the results
reference   results kept in git: tables, pages and executed notebooks
rendered    the reference run's executed notebooks
site        its pages for the web
links       badges, links and the notebooks' first cell, from the repository's address
"""
