"""The errors of the runtime, split by fault.

`ProtocolError` is the agent process's, `StepRefused` and `Diverged` are answers to one call of it,
`ModelFailed` is a provider's, `MessageRefused` is the sender's, `NoAnswer` is how a turn ended.
"""

from ledger.core.errors import TimmyError


class AgentError(TimmyError):
    """Base of the runtime's errors."""


class ProtocolError(AgentError):
    """The other end broke docs/spec/agent-protocol.md: the connection ends."""


class StepRefused(AgentError):
    """One call of the agent is not carried out; the turn goes on."""


class Diverged(AgentError):
    """A turn given again asked for something else than its record says."""


class ModelFailed(AgentError):
    """One link of the model chain gave no reply. The message is a short reason without secrets."""


class MessageRefused(AgentError):
    """A message breaks a bound of the gateway; nothing was recorded."""


class NoAnswer(AgentError):
    """A turn ended and there is no message that answers it."""
