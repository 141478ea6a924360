"""Workflow (Snakefile, Makefile): recipes, and the notebooks run one after another.

recipe      one YAML file per study, checked before anything runs
chain       Snakemake and papermill: what `make reproduce` calls
progress    what the chain prints while it runs
provenance  versions, machine and times next to the results
reference   results kept in git, and README's tables from them
install     the project's packages where much is installed already, as on Colab
"""
