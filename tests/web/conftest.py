"""`web/` holds scripts beside the page's sources, no package: its modules are found by path."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "web"))
