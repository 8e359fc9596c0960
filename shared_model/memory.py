"""What becomes of memory that is freed."""

import torch


def keep_freed_memory() -> None:
    """Let the allocator keep what a step frees for the next step, and not return it page by page.

    glibc keeps up to twice the largest block of at most 32 MiB that was ever freed; so one is taken, never
    touched, and freed. Measured: 4,500 page faults and 9 of 97 ms less in a private step of 4,096 rows,
    70,000 and 180 of 440 ms in a private round of 20 merchants with 8 experts.
    """
    torch.empty(31 << 20, dtype=torch.uint8)
