"""Analysis (notebooks 05 and 06): from scores to verdicts.

intervals  intervals, tests and detectable differences
tables     a run's scores as tables
claims     the pre-registered claims (claims.yaml) and their verdicts
paper      the paper's own numbers (paper_tables.json)
style      colours and order of the figures
figures    the figures
report     the report, and what it shows of traces and training
published  the responses that the paper's authors published
"""
