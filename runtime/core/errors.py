"""The errors of the runtime, split by fault.

`NotRead`, `RuleRefused` and `CallRefused` are of permissions: a shell line, the author of a rule,
a tool call. `ProtocolError` is the agent process's, `StepRefused` and `Diverged` are answers to
one call of it, `ModelFailed` is a provider's, `InvalidSuite` is in the safety suite's files,
`MessageRefused` is the sender's, `ExchangeRefused` is of a request through the proxy, `JobRefused`
that of whoever plans a job, `NoAnswer` is how a turn ended, `SkinRefused` is the fault of a skin's
author, `InvalidWeights` is in a model's file, `LocalModelError` in running it on this machine.
`ToolRefused` is whoever's registers a tool, `NoSuchTool` the caller's, `ToolFailed` what a tool
tells the model.
"""

from ledger.core.errors import NotFound, TimmyError


class AgentError(TimmyError):
    """Base of the runtime's errors."""


class ProtocolError(AgentError):
    """The other end broke docs/spec/agent-protocol.md: the connection ends."""


class StepRefused(AgentError):
    """One call of the agent is not carried out; the turn goes on."""


class Diverged(AgentError):
    """A turn given again asked for something else than its record says."""


class ModelFailed(AgentError):
    """One link of the model chain gave no reply. The message is a short reason without secrets.

    `counts`: whether that speaks against the link; `wait_s`: how long it is better left alone.
    """

    def __init__(self, message: str, *, counts: bool = True, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.counts = counts
        self.wait_s = wait_s


class InvalidSuite(AgentError):
    """The safety tests, the labelled replies or a recorded result do not say what they must."""


class MessageRefused(AgentError):
    """A message breaks a bound of the gateway; nothing was recorded."""


class NoAnswer(AgentError):
    """A turn ended and there is no message that answers it."""


class NotRead(AgentError):
    """A shell line, or a part of it, is beyond this reader: not wrong, but not known."""


class RuleRefused(AgentError):
    """A permission rule could never do what its author means."""


class CallRefused(AgentError):
    """A tool call says nothing that could be decided."""


class SkinRefused(AgentError):
    """A skin breaks a bound, or is not what its author signed; nothing was recorded."""


class JobRefused(AgentError):
    """A job, or something asked of one, breaks a bound; nothing was recorded."""


class ExchangeRefused(AgentError):
    """A proxied request is not forwarded, and nothing was. `status` is what HTTP calls it."""

    def __init__(self, message: str, *, status: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class ToolRefused(AgentError):
    """A tool cannot be registered as it is."""


class ToolTaken(ToolRefused):
    """A tool of that name is registered already."""


class NoSuchTool(NotFound):
    """No tool of that name is registered."""


class ToolFailed(AgentError):
    """A call did not do what it was to; the message is for the model to read."""


class InvalidWeights(AgentError):
    """A file of weights is not what it must be: cut short, foreign, or not the one asked for."""


class LocalModelError(AgentError):
    """A model cannot run on this machine as it was asked to."""
