"""`python -m benchmarks` is `sidbench`, wherever the checkout stands."""

import sys

from sid.loop import parent

if __name__ == "__main__":
    parent.follow()  # before anything heavy is imported: a workflow that is killed meanwhile leaves no job behind
    from benchmarks.cli import main

    sys.exit(main())
