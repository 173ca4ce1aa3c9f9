"""The LightningModules, one a method: network, objective and loop.

May import: training, cli (settings), data (its table of datasets), evaluation, nets, losses and what lies below.
"""
