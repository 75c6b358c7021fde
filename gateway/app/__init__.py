"""The composition root: builds every part from the settings, runs them, and ends them in order.

Nothing but the command line and the demo imports it; from outside, only what is named here.

serving       until a signal says that it is enough
process       one process, whatever its part: what is built, in which order, and how it ends
foundation    what every part stands on
  stores        what holds state
visitors      the part `gateway`: from the listener
  handler       through the steps of a request
  journal       past the access log
  backends      to the backends
worker        the part `worker`: what mails, webhooks and logos need, and what keeps the rest small
admin         the part `admin`, and the listener for health and metrics that every part has
background    tasks that run as long as the process
cannot_start  what an operator is told when what the settings name is not as it has to be
"""

from gateway.app.cannot_start import CannotStart
from gateway.app.process import Running, running
from gateway.app.serving import serve

__all__ = ["CannotStart", "Running", "running", "serve"]
