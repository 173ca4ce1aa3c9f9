"""Where images come from: one reader for each dataset, in the table ``readers``, and what readers share.

May import: of data its containers, images and table of datasets; errors.
"""
