"""The laptop's base model (notebook A1), which is trained here from nothing.

curriculum   the texts that it learns from
pretraining  its tokenizer, its training and its exam
"""
