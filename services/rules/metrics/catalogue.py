"""The definition of every metric in words: what a tile shows when somebody asks how it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    THROUGHPUT = "throughput"
    INSTABILITY = "instability"
    AI = "AI delivery"
    WAITS = "where the time went"
    GATES = "gates"
    RECORD = "the record"


@dataclass(frozen=True)
class Definition:
    """`nothing` is what is said where there is no number."""

    name: str
    group: Group
    title: str
    unit: str
    method: str
    nothing: str = "no deployments"


_FORWARD = "succeeded deployments to the production stage that finished in the window, without redeploys and rollbacks"
_LEAD = "once per commit, when it first arrived in production; rollbacks, redeploys and repromotions add none"
_FAILED = (
    "a deployment failed when an incident is linked to it, a rollback blames it, or a hotfix fixes it; it is restored"
    " when its incidents are resolved and the first deployment that remedies it has finished, whichever is later"
)
_PARTS = "the mean over the deployments of the window that were requested through Headgate and go forward"
_NO_RELEASE = "no release with a known beginning"
_NO_FAILURE = "no failure was restored"

DEFINITIONS = (
    Definition("deployments", Group.THROUGHPUT, "Deployments", "deployments", f"The number of {_FORWARD}."),
    Definition(
        "deployments_all",
        Group.THROUGHPUT,
        "Deployments with rollbacks",
        "deployments",
        "The number of succeeded deployments to the production stage that finished in the window, without redeploys.",
    ),
    Definition(
        "deployment_frequency",
        Group.THROUGHPUT,
        "Deployment frequency",
        "a day",
        f"The number of {_FORWARD}, divided by the days of the window.",
    ),
    Definition(
        "deployment_days_per_week",
        Group.THROUGHPUT,
        "Deployment days a week",
        "days",
        "The median number of different local days with a deployment, over the complete ISO weeks of the window, empty"
        " weeks included; rollbacks and redeploys do not count.",
        "no complete week",
    ),
    Definition(
        "change_lead_time",
        Group.THROUGHPUT,
        "Change lead time",
        "hours",
        f"The median of the time from a commit until its deployment had finished, {_LEAD}.",
        "no commits arrived",
    ),
    Definition(
        "change_lead_time_p90",
        Group.THROUGHPUT,
        "Change lead time, p90",
        "hours",
        f"Nine of ten commits took no longer than this until their deployment had finished, {_LEAD}.",
        "no commits arrived",
    ),
    Definition(
        "failed_deployment_recovery_time",
        Group.THROUGHPUT,
        "Failed deployment recovery time",
        "hours",
        "The median, over the failures restored in the window, of the time from the end of the failed deployment to the"
        f" restoration: {_FAILED}.",
        _NO_FAILURE,
    ),
    Definition(
        "failed_deployment_recovery_time_p90",
        Group.THROUGHPUT,
        "Failed deployment recovery time, p90",
        "hours",
        "Nine of ten failures restored in the window took no longer than this from the end of the failed deployment.",
        _NO_FAILURE,
    ),
    Definition(
        "recovery_open",
        Group.THROUGHPUT,
        "Failures still open",
        "deployments",
        "The number of deployments from before the window's end that failed and are not restored, each with its age.",
    ),
    Definition(
        "recovery_kaplan_meier",
        Group.THROUGHPUT,
        "Recovery, with the open ones",
        "hours",
        "The Kaplan-Meier median of the recovery time: failures that are still open count as lasting longer than their"
        " age.",
        "half of the failures are not restored yet, or there are none",
    ),
    Definition(
        "change_fail_rate",
        Group.INSTABILITY,
        "Change fail rate",
        "share",
        f"The failed ones among the {_FORWARD}, each once, however many incidents it has: a deployment failed when an"
        " incident is linked to it, open or not, a rollback blames it, or a hotfix fixes it.",
    ),
    Definition(
        "failed_deployments",
        Group.INSTABILITY,
        "Failed deployments",
        "deployments",
        f"The number of the {_FORWARD}, that failed.",
    ),
    Definition(
        "deployment_rework_rate",
        Group.INSTABILITY,
        "Deployment rework rate",
        "share",
        "The unplanned ones that a failure caused (hotfix, rollback, emergency retrain, or naming what they fix) among"
        " the succeeded deployments of the window, without redeploys. Meant for a window of six months.",
    ),
    Definition(
        "maturing_deployments",
        Group.INSTABILITY,
        "Maturing deployments",
        "deployments",
        "The number of deployments of the window that are so young that an incident may still become theirs.",
    ),
    Definition(
        "incidents",
        Group.INSTABILITY,
        "Incidents",
        "incidents",
        "The number of incidents whose impact began in the window.",
        "no incidents",
    ),
    Definition(
        "unattributed_incidents",
        Group.INSTABILITY,
        "Unattributed incidents",
        "incidents",
        "The number of incidents whose impact began in the window and whose cause nobody named and the rule did not"
        " find: they are in no rate. Those that no deployment caused, as a person said, are in no rate either, and not"
        " counted here.",
        "no incidents",
    ),
    Definition(
        "promotion_success",
        Group.INSTABILITY,
        "Promotion success",
        "share",
        "The succeeded ones among the deployments to the production stage that succeeded or failed in the window,"
        " without redeploys.",
    ),
    Definition(
        "rollback_time",
        Group.AI,
        "Rollback time",
        "hours",
        "The median time from the request of a rollback until it had finished; failed rollbacks are listed, never"
        " averaged.",
        "no rollbacks",
    ),
    Definition(
        "rollback_time_max",
        Group.AI,
        "Longest rollback",
        "hours",
        "The longest time from the request of a rollback until it had finished.",
        "no rollbacks",
    ),
    Definition(
        "rollbacks_failed",
        Group.AI,
        "Failed rollbacks",
        "deployments",
        "The number of rollbacks in the window that failed.",
    ),
    Definition(
        "lead_time_training",
        Group.AI,
        "Training to production",
        "hours",
        "The median time from the end of a training run until its model had been deployed, once per model version when"
        " it first arrived in production.",
        _NO_RELEASE,
    ),
    Definition(
        "lead_time_training_p90",
        Group.AI,
        "Training to production, p90",
        "hours",
        "Nine of ten model versions took no longer than this from the end of their training to production.",
        _NO_RELEASE,
    ),
    Definition(
        "lead_time_data",
        Group.AI,
        "Data to production",
        "hours",
        "The median time from a dataset's cut-off until a model trained on it had been deployed, once per dataset"
        " version when it first arrived in production.",
        _NO_RELEASE,
    ),
    Definition(
        "lead_time_data_p90",
        Group.AI,
        "Data to production, p90",
        "hours",
        "Nine of ten dataset versions took no longer than this from their cut-off to production.",
        _NO_RELEASE,
    ),
    Definition(
        "model_age",
        Group.AI,
        "Model age",
        "hours",
        "The time since the training of what serves at the end of the window, or at as_of where that is earlier; the"
        " median where several applications serve.",
        "nothing serves whose training is known",
    ),
    Definition(
        "model_age_mean",
        Group.AI,
        "Mean model age",
        "hours",
        "The age of what served, averaged over the time of the window in which something served.",
        "nothing served whose training is known",
    ),
    Definition(
        "data_age",
        Group.AI,
        "Data age",
        "hours",
        "The time since the latest data cut-off of what serves at the end of the window, or at as_of where that is"
        " earlier; the median where several applications serve.",
        "nothing serves whose data cut-off is known",
    ),
    Definition(
        "data_age_mean",
        Group.AI,
        "Mean data age",
        "hours",
        "The age of the data of what served, averaged over the time of the window in which something served.",
        "nothing served whose data cut-off is known",
    ),
    Definition(
        "reproducibility",
        Group.AI,
        "Reproducibility",
        "share",
        "The attempts that reproduced a model exactly or within tolerance, among those that finished; errors of the"
        " infrastructure stand apart.",
        "not yet tried",
    ),
    Definition(
        "wait_gates",
        Group.WAITS,
        "In gates",
        "hours",
        f"From request to finish, the time in which at least one gate ran: {_PARTS}.",
        _NO_RELEASE,
    ),
    Definition(
        "wait_approval",
        Group.WAITS,
        "Waiting for approval",
        "hours",
        f"From request to finish, the time in which an approval was awaited and no gate ran: {_PARTS}.",
        _NO_RELEASE,
    ),
    Definition(
        "wait_deploy",
        Group.WAITS,
        "Deploying",
        "hours",
        f"From the start of the deployment to its finish, without what gates and approval took: {_PARTS}.",
        _NO_RELEASE,
    ),
    Definition(
        "wait_queue",
        Group.WAITS,
        "In the queue",
        "hours",
        f"From request to finish, the time in which nothing happened: {_PARTS}.",
        _NO_RELEASE,
    ),
    Definition(
        "wait_total",
        Group.WAITS,
        "Request to finish",
        "hours",
        f"From request to finish, the sum of gates, approval, queue and deploying: {_PARTS}.",
        _NO_RELEASE,
    ),
    Definition(
        "flow_efficiency",
        Group.WAITS,
        "Flow efficiency",
        "share",
        "Time in gates and deploying, divided by the time from request to finish, over all deployments of the window"
        " together.",
        _NO_RELEASE,
    ),
    Definition(
        "gate_catch_rate",
        Group.GATES,
        "Gate catch rate",
        "share",
        "Bundles that a gate blocked for a defect somebody confirmed, among those and the failed deployments of the"
        " window; a bundle counts once, however often it was tried.",
        "nothing was caught and nothing failed",
    ),
    Definition(
        "false_block_rate",
        Group.GATES,
        "False block rate",
        "share",
        "Blocks that somebody marked false, or that were waived and whose deployment then stayed clean for the time in"
        " which incidents are attributed, among all blocks that were marked or waived.",
        "no block was marked or waived",
    ),
    Definition(
        "data_quality",
        Group.RECORD,
        "Data quality",
        "rows",
        "The number of things in the window's record that a person should look at: negative durations, contradictions"
        " of declared kinds, releases without commits, unattributed incidents, references to nothing, and aborted"
        " deployments that may have served.",
        "nothing to look at",
    ),
)

BY_NAME = {definition.name: definition for definition in DEFINITIONS}
NAMES = tuple(BY_NAME)
