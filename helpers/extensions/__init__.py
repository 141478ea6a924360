"""Extensions (notebook 10): what other papers do, with the parts of this one.

stickers  SIFT: the facts of a problem written out, and checked by two predictions
"""
