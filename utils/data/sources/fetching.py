"""Downloads: an archive is fetched, checked and unpacked; each of its files appears whole or not at all."""

import os
import tarfile
import tempfile
from pathlib import Path

from utils.errors import UserError


def fetch_archive(dataset: str, url: str, archive: Path, md5: str, folder: Path, otherwise: str | None = None) -> None:
    """Download an archive, unless it is there already, and put the files of its folder in their place.

    Args:
        dataset: its name, for messages.
        url: where the archive is.
        archive: where it goes.
        md5: of the archive.
        folder: the files' place, beside the archive and of the name that the archive gives to its folder.
        otherwise: a file that would do as well, for messages.

    Raises:
        UserError: when the archive cannot be had or is damaged.
    """
    from torchvision.datasets import utils as torchvision_utils

    data_dir = archive.parent
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        torchvision_utils.download_url(url, str(data_dir), archive.name, md5)
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=".unpacking-") as unpacked:
            torchvision_utils.extract_archive(str(archive), unpacked)
            folder.mkdir(exist_ok=True)
            for file in sorted((Path(unpacked) / folder.name).iterdir()):
                os.replace(file, folder / file.name)
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        damaged = f"; {archive} is damaged or incomplete" if archive.is_file() else ""
        raise UserError(
            f"{dataset} could not be downloaded from {url} ({reason}){damaged}; "
            f"put {' or '.join(filter(None, (archive.name, otherwise)))} into {data_dir} by other means"
        ) from error
