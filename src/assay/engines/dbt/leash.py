"""The program that becomes another, which ends at once when the process that started it does, however that ends.

Called with the number of that process, and a command.
"""

import ctypes
import os
import sys

_SET_SIGNAL_OF_PARENTS_DEATH = 1
_KILL = 9

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_SIGNAL_OF_PARENTS_DEATH, _KILL)
    if os.getppid() == int(sys.argv[1]):
        os.execv(sys.argv[2], sys.argv[2:])
