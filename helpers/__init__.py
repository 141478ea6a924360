"""What the notebooks call, in folders that follow them. An arrow means "may import"; none goes back.

    workflow -> analysis -> explorer -> extensions -> evaluation
             -> training | perturbations | base_model -> puzzles -> data -> answers -> ground

puzzles/        notebook 01: two families of problems, with solvers that write traces
data/           notebook 01: sources of traces, filters, segmentation
perturbations/  notebook 02: the arms
training/       notebook 03: fine-tuning
base_model/     notebook A1: the models that ship here
evaluation/     notebook 04: benchmarks, responses, scores
analysis/       notebooks 05 and 06: intervals, tables, claims, figures, report
explorer/       the views in notebooks 02 and 05
extensions/     notebook 10: what other papers do
answers/        everywhere: the final answer of a response, and whether two answers are the same
workflow/       the Snakefile and the Makefile: recipes and the chain
conditions, files, processes, devices: the ground, which every folder may import
"""
