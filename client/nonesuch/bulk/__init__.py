"""Sets of pictures on disk: seed ranges in, shards out, complete and the same after any crash.

`Client.bulk` makes one; `plan.Plan` says what is in it, `run.Bulk` works it off.
"""

from nonesuch.bulk.plan import Plan
from nonesuch.bulk.run import Bulk
from nonesuch.bulk.vary import Vary

__all__ = ["Bulk", "Plan", "Vary"]
