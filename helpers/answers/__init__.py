"""Answers: what a response answers, and whether that is the same as the reference answer.

boxed      the final answer of a response: what it boxed
equality   whether two mathematical answers are the same, part by part
algebra    whether two formulas are, by their values at several points
forms      the kinds of answers: numbers, lists, intervals, words
latex      one spelling for the LaTeX of an answer
units      units of measurement
workers    equality in processes that can be killed, since answers are a model's text
sandbox    where programs run that a model wrote, or that evaluate what it wrote
"""
