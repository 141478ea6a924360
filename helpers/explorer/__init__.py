"""The explorer: views of traces, token losses and responses, as HTML and with controls.

trace_view    a trace before and after an arm
markup        the differences inside a step
token_losses  how surprising each token is to a model
responses     two models' responses to one problem
dangling      references to numbers and steps that are not there
widgets       the views with controls
page          the first view as a page that needs no kernel
"""
