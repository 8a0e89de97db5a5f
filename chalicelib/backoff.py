"""When to try again."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that grow, jittered over their whole length.

    All values are in seconds; ``random`` returns numbers in [0, 1).
    """

    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    first: float = 0.05
    longest: float = 1.0
    deadline: float = 5.0

    def pause(self, failures: int) -> float:
        """Return how long to wait after so many failures, one at least."""
        return self.random() * min(self.longest, self.first * (1 << (failures - 1)))

    def attempts(self) -> Iterator[int]:
        """Yield 0 at once, then 1, 2... after pauses, until a pause would pass the deadline."""
        end = self.clock() + self.deadline
        attempt = 0
        while True:
            yield attempt
            attempt += 1
            pause = self.pause(attempt)
            if self.clock() + pause > end:
                return
            self.sleep(pause)
