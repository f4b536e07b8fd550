"""The demo, `make demo`: the shop on a real cluster, 200 orders placed, and a table of what became of them.

`steps` says how the shop is brought up, `traffic` places orders and counts, `tally` compares, `evidence` tells what a
person would look at when something is not right. The end-to-end tests use the same modules.
"""
