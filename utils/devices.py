"""The devices that ``--gpus`` and ``--num_processes`` mean. torch is imported when it is asked, not before."""

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.errors import UserError

if TYPE_CHECKING:
    import torch

LAUNCHED = (  # by torchrun, SLURM, LSF, Open MPI, MPICH
    *("TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "LSB_JOBID", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"),
)
BY_HAND = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name, with what of its instructions decides how fast a CPU trains."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        flags = next(line for line in lines if line.startswith("flags")).split()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
    features = [feature for feature in ("avx512f", "avx512_bf16", "amx_bf16") if feature in flags]
    return f"{name} ({', '.join(features)})" if features else name


def memory_of_machine() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
        numbers = [int(number) for number in gpus.split(",") if number.strip()]
    except ValueError:
        numbers = []
    listed = "," in gpus
    if not numbers or min(numbers) < (0 if listed else -1):
        raise UserError(f"--gpus is '{gpus}' but must be a number, -1 or a list such as 0,1")
    if listed:
        return "gpu", numbers
    return ("cpu", 1) if numbers == [0] else ("gpu", numbers[0])


def require_devices(gpus: str | None, num_processes: int = 1) -> None:
    """Refuse GPUs that are asked for and not there, and far more processes than there are cores.

    Raises:
        UserError: saying how many there are.
    """
    accelerator, devices = accelerator_and_devices(gpus, num_processes)
    if num_processes > max(2, cores()):  # two can be tried anywhere
        raise UserError(f"--num_processes {num_processes} but this machine has {cores()} cores; choose at most as many")
    if accelerator != "gpu":
        return
    import torch

    there = torch.cuda.device_count()
    needed = max(devices) + 1 if isinstance(devices, list) else max(devices, 1)
    if needed > there:
        raise UserError(f"--gpus {gpus} but this machine has {there} GPUs; leave --gpus away to use the CPU")


def count_processes(gpus: str | None, num_processes: int = 1, num_nodes: int = 1) -> int:
    """How many processes train together; the devices have to be there."""
    _, devices = accelerator_and_devices(gpus, num_processes)
    if devices == -1:
        import torch

        devices = torch.cuda.device_count()
    return num_nodes * (len(devices) if isinstance(devices, list) else devices)


def require_launcher(num_nodes: int, processes: int = 1) -> None:
    """Refuse several processes without what tells each of them who the others are: they would wait for ever.

    Args:
        num_nodes: machines.
        processes: on all of them.

    Raises:
        UserError: saying how such a run is started.
    """
    if num_nodes > 1 and not any(name in os.environ for name in LAUNCHED):
        _require_meeting(num_nodes)
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        _require_tasks(processes)
        return
    started = int(os.environ.get("WORLD_SIZE", processes))
    if started != processes:
        raise UserError(
            f"torchrun started {started} processes but {processes} would train together: --gpus (without GPUs "
            "--num_processes) has to be --nproc-per-node, and --num_nodes has to be --nnodes (docs/scaling.md)"
        )


def _require_meeting(num_nodes: int) -> None:
    """Refuse machines that are started by hand and not told where they meet, or which of them this is."""
    missing = [name for name in BY_HAND if name not in os.environ]
    if len(missing) == len(BY_HAND):
        raise UserError(
            f"--num_nodes {num_nodes} but this process was started alone and would wait for the others for ever: start "
            f"it on each machine with torchrun or srun (docs/scaling.md), or set {', '.join(BY_HAND[:-1])} and "
            f"{BY_HAND[-1]}"
        )
    if missing:
        raise UserError(f"--num_nodes {num_nodes} without launcher: {' and '.join(missing)} missing (docs/scaling.md)")
    machines = [str(number) for number in range(num_nodes)]
    if os.environ["NODE_RANK"] not in machines:
        raise UserError(
            f"NODE_RANK is '{os.environ['NODE_RANK']}' but must be from 0 to {num_nodes - 1}, one for each of the "
            "machines of --num_nodes"
        )


def _require_tasks(processes: int) -> None:
    """Refuse a job of SLURM whose tasks are not the processes that train; without one there is nothing to refuse."""
    tasks = int(os.environ.get("SLURM_NTASKS", 0))
    if not tasks or os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive"):  # where Lightning starts processes
        return
    if tasks > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise UserError(
            f"SLURM was asked for {tasks} tasks, not for tasks on each machine: ask with --ntasks-per-node, one for "
            "each process (docs/scaling.md)"
        )
    if processes > 1 and "SLURM_STEP_ID" not in os.environ:
        raise UserError(
            f"{processes} processes in a job of SLURM, but this one was started alone and would wait for the others "
            "for ever: start it with srun (docs/scaling.md)"
        )
    if processes > 1 and tasks != processes:
        raise UserError(
            f"SLURM started {tasks} tasks but {processes} processes train: --num_nodes times --gpus has to be the "
            "number of machines times --ntasks-per-node"
        )


def torch_device(gpus: str | None) -> "torch.device":
    """The one device that ``--gpus`` means where no Trainer is needed: of several the first, or that of this process.

    Raises:
        UserError: for GPUs that are not there.
    """
    import torch

    require_devices(gpus)
    accelerator, devices = accelerator_and_devices(gpus)
    if accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if not isinstance(devices, list):
        devices = range(torch.cuda.device_count() if devices == -1 else devices)
    place = int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0)
    return torch.device("cuda", devices[place % len(devices)])
