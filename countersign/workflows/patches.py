"""Changes to what running initiatives do, each known in their histories by an id.

An initiative runs for years, and its history is replayed against the code as it is by then. So what changes the steps
of a run is put beside the steps before, behind ``workflow.patched``: a run that came to this place under the older code
goes on in the older shape to its end. The answer holds for one run. The next one, after it continued as new, takes the
newer steps, wherever the initiative stands then: the rule behind them has to make that right.

======================================  =====  ================================  ===================================
id                                      since  what it changes                   when the older branch may go
======================================  =====  ================================  ===================================
``complaint-after-termination``         0.1    a winding up begins with a step   no run is open that was terminated
                                               that lets the termination be      under the code before it
                                               complained of
``waits-for``                           0.1    reference, stage, area and who is  no run is open that began under the
                                               waited for are upserted together  code before it
======================================  =====  ================================  ===================================

Older branches go in two releases: first ``workflow.deprecate_patch`` stands in the place of the question, then nothing.
Histories of the older shape are kept in ``tests/workflows/histories/older/<id>`` until then, and replayed.
"""

from __future__ import annotations

from typing import Final

COMPLAINT_AFTER_TERMINATION: Final = "complaint-after-termination"
WAITS_FOR: Final = "waits-for"
