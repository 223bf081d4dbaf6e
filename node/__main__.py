"""`python -m node` is `timmy`."""

import sys

from node.cli import main

sys.exit(main())
