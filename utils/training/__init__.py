"""What happens around a training step: optimisation, callbacks, checkpoints, resuming, signals, loggers.

May import: report, cli, data, evaluation, nets and what lies below; never a method.
"""
