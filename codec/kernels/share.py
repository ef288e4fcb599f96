"""How many ranges of rows are worked on side by side."""

import torch

# Starting threads costs about 20 us; a loop moves about 2 numbers per ns, so below this one thread is done sooner.
_WORTH_SHARING = 1 << 17


def shares(numbers: int, rows: int) -> int:
    """Ranges to cut ``rows`` of ``numbers`` altogether into: one per torch thread, or one if they are few."""
    return 1 if numbers < _WORTH_SHARING else min(torch.get_num_threads(), rows)
