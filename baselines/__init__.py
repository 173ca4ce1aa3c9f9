"""The methods of the published table beside UNO v2 and IIC, one runnable file each: python -m baselines --list.

A file holds the method's row (``METHOD``) and its LightningModule (``Discoverer``); losses are in ``utils.losses``.
Importing this package imports no torch.
"""
