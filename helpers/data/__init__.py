"""Data (notebooks 01 and A2): traces from wherever they come.

traces        a trace and its file; responses taken apart into thought and solution
words         reflection keywords, sentences, numbers in words
segmentation  a thought cut into steps
sources       traces from the hub or from files, in the layouts that data sets use
filters       what a collected row must pass: text, overlap with the benchmarks
collection    rows to traces: filters, steps, verdict, data card
gym           problems of reasoning-gym's data sets, and their scorers in the sandbox
teacher       responses from a model behind an endpoint
"""
