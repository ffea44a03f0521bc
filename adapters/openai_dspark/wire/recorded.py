"""How a server says that a call is in its trace already."""

from __future__ import annotations

# Of every response: ``Recorder.mark`` of the file the server writes. A client that writes the same
# file leaves the record to the server, which knows more.
RECORDED_HEADER = "x-agentspark-recorded"
