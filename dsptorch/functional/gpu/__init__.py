"""Triton kernels for what runs on a GPU: the same three primitives, in one pass over the signal.

`choice` says where they run, and nothing else does. Each of the other files registers the operators of one primitive;
they import the kernels, and with them triton, when the first tensor arrives.
"""
