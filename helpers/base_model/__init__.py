"""The laptop's base models (notebook A1), which are trained here from nothing.

countdown_skills, islanders_skills  the texts that each of them learns from
pretraining                         tokenizer, documents and training
exam                                what a model can do afterwards
"""
