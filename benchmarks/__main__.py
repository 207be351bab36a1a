"""`python -m benchmarks` is `sidbench`, wherever the checkout stands."""

import sys

from benchmarks.cli import main

if __name__ == "__main__":
    sys.exit(main())
