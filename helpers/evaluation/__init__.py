"""Evaluation (notebook 04): responses and their scores.

benchmarks   problems with reference answers
journal      responses to problems; nothing finished is lost or generated twice
generation   the transformers engine
vllm_engine  the vLLM engine
context      how long a response a model has room for
grading      a response to its score
programs     code answers against their tests
"""
