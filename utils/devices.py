"""The devices that ``--gpus`` and ``--num_processes`` mean. torch is imported when it is asked, not before."""

from typing import TYPE_CHECKING, Any

from utils.errors import UserError

if TYPE_CHECKING:
    import torch


def accelerator_and_devices(gpus: str | None, num_processes: int = 1) -> tuple[str, Any]:
    """Accelerator and devices in the Trainer's words.

    Raises:
        UserError: for a value that means nothing.
    """
    if num_processes > 1:
        if gpus not in (None, "0"):
            raise UserError("--num_processes is for the CPU; with GPUs there is one process for each of --gpus")
        return "cpu", num_processes
    if gpus is None:
        return "auto", 1
    try:
        if "," in gpus:
            return "gpu", [int(index) for index in gpus.split(",") if index.strip()]
        count = int(gpus)
    except ValueError:
        raise UserError(f"--gpus is '{gpus}' but must be a number, -1 or a list such as 0,1") from None
    return ("cpu", 1) if count == 0 else ("gpu", count)


def require_devices(gpus: str | None, num_processes: int = 1) -> None:
    """Refuse GPUs that are asked for and not there.

    Raises:
        UserError: saying how many there are.
    """
    accelerator, devices = accelerator_and_devices(gpus, num_processes)
    if accelerator != "gpu":
        return
    import torch

    there = torch.cuda.device_count()
    needed = max(devices) + 1 if isinstance(devices, list) else max(devices, 1)
    if needed > there:
        raise UserError(f"--gpus {gpus} but this machine has {there} GPUs; leave --gpus away to use the CPU")


def torch_device(gpus: str | None) -> "torch.device":
    """The one device that ``--gpus`` means where no Trainer is needed.

    Raises:
        UserError: for GPUs that are not there.
    """
    import torch

    require_devices(gpus)
    accelerator, devices = accelerator_and_devices(gpus)
    if accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", devices[0] if isinstance(devices, list) else 0)
