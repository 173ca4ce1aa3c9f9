"""Contrastive disentangling (CD) and its SimCLR baseline: representations that need no number of classes.

    python train.py --dataset stl10
    python train.py --dataset stl10 --method simclr
    python train.py --dataset digits

Settings are in config/config.yaml, and each of its keys is a flag that wins over it. The last command needs no
download and takes a minute or two on two CPU cores. Models are in models/<dataset>/; see docs/contrastive.md.
"""

from utils import cli

if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("disentangle", doc=__doc__)

if __name__ == "__main__":
    from utils.experiment import disentangle

    cli.run(disentangle, ARGS)
