"""What an ended run leaves that is to be published, and what may be: pure rules.

Outputs go out when the job says so; its last state goes out when another attempt may go on
from it. What was cancelled leaves nothing that anybody waits for.
"""

from __future__ import annotations

from agent.backends import Exit
from agent.supervisor.messages import Publish
from agent.supervisor.outcomes import CANCELLED, SUPERSEDED, outcome_of
from agent.supervisor.values import Attempt, Failure, Settings, Task, TaskOutput

OUTPUTS_MAX = 64  # of one job
ABANDONED = (CANCELLED, SUPERSEDED)  # reasons to stop after which nothing is published


def publication_of(attempt: Attempt, exit: Exit, settings: Settings) -> Publish | None:
    """What is to be published of this run before its end is told; None: nothing."""
    if attempt.stop_reason in ABANDONED or not exit.started_at:  # or it never began
        return None
    outcome, failure = outcome_of(exit, attempt.stop_reason)
    succeeded = outcome == "succeeded"
    hopeless = failure is not None and failure.category == "user" and not attempt.retried
    checkpoint = settings.has_store and not succeeded and not hopeless
    outputs = tuple(
        output
        for output in attempt.outputs
        if (succeeded or output.always) and (output.store or settings.has_store)
    )
    return Publish(exit, outputs, checkpoint) if outputs or checkpoint else None


def destination_refusal(task: Task, settings: Settings) -> Failure | None:
    """Whether the site can publish all that the job wants published, where it wants it."""
    if len(task.outputs) > OUTPUTS_MAX:
        message = f"a job has at most {OUTPUTS_MAX} outputs; pack them together"
        return Failure("user", "OutputUnsupported", message)
    if not settings.has_store and any(each.becomes_dataset for each in task.outputs):
        message = "the site has no store to keep the datasets in that the job writes"
        return Failure("policy", "StoreMissing", message)
    refused = next((each for each in task.outputs if not _allowed(each, settings)), None)
    if refused is None:
        return None
    message = f"the site does not publish to {refused.destination}"
    return Failure("policy", "SiteRuleRefused", message)


def _allowed(output: TaskOutput, settings: Settings) -> bool:
    wish = output.store
    if not wish:  # the site's store, or its own disk where it has none
        return True
    if "/../" in f"{wish}/" or "%2e" in wish.lower():
        return False
    return any(f"{wish}/".startswith(f"{place.rstrip('/')}/") for place in settings.destinations)
