"""Features in the place of images: what is extracted once, where it is kept, and the loaders that serve it.

Importing this package imports no torch.
"""
