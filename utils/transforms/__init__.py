"""Views: their specifications, and the operations that compute them in batches on the device.

May import: the modules of ``utils`` itself that all rooms share (errors, files, …); neither Lightning nor argparse.
"""
