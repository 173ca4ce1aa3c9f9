"""What is done with trained weights: evaluate, cluster, predict, sort, export, features and k-means on them.

May import: every room but ``utils.experiment``, which trains.
"""
