"""What a person looks at: pages, contact sheets and tables; the figures in them are in ``plots``.

May import: cli (settings), data, evaluation, nets and what lies below.
"""
