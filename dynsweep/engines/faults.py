"""What a training that raised says of the device: short of memory, or lost to this process."""

import gc

import torch

# Of PyTorch's allocators, of CUDA, of its libraries, and of cuDNN, which without room for its
# workspace finds no algorithm. cuBLAS says it is not initialized where its handle found no room.
SHORT = (
    "out of memory", "alloc_failed", "allocate memory", "not enough memory",
    "cublas_status_not_initialized", "unable to find an engine", "valid cudnn algorithm",
)  # fmt: skip


def short_of_memory(error: BaseException | None) -> bool:
    """Whether there was too little memory. A capture that ends on such an error raises another,
    which has it as its context."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(words in text for words in SHORT):
            return True
        error = error.__cause__ or error.__context__
    return False


def release(device: str) -> None:
    """Give back what nobody holds any more; to be called when the error is gone, whose traceback
    holds the training."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def answers(device: str) -> bool:
    """Whether the process can still use the device.

    After some errors of CUDA (an illegal address, a failed launch) every later call fails in this
    process, and only in this one.
    """
    if not device.startswith("cuda"):
        return True
    try:
        torch.ones(1, device=device).add_(1).item()
    except Exception as error:
        return short_of_memory(error)
    return True
