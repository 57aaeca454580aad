"""Routes of this app; static paths come before those with a name in them.

Pages of a tenant have two addresses: /t/<slug>/… names it.
"""

from django.urls import URLPattern, path

from orchestrations import (
    agent_api,
    api,
    call_pages,
    cost_api,
    cost_pages,
    evidence_pages,
    export_pages,
    inference_api,
    overview_pages,
    price_pages,
    provider_pages,
    run_pages,
    settings_pages,
    step_pages,
)
from orchestrations.gateway import drop_in_api
from orchestrations.gateway import inference_api as gateway_api
from tenants.page_access import of_tenant

_RUN = "v1/orchestrations/<str:name>"

v1: list[URLPattern] = [
    path(
        "v1/orchestrations", api.OrchestrationList.as_view(), name="orchestration-list"
    ),
    path("v1/orchestrations/execute", api.OrchestrationExecute.as_view()),
    path("v1/orchestrations/llm-inference", gateway_api.RunInference.as_view()),
    path("v1/chat/completions", drop_in_api.ChatCompletions.as_view()),
    path("v1/messages", drop_in_api.Messages.as_view()),
    path(_RUN, api.OrchestrationDetail.as_view(), name="orchestration-detail"),
    path(
        f"{_RUN}/inferences", inference_api.InferenceList.as_view(), name="inferences"
    ),
    path(f"{_RUN}/llm-inference", inference_api.InferenceList.as_view()),
    path(f"{_RUN}/inferences/batch", inference_api.InferenceBatch.as_view()),
    path(f"{_RUN}/steps", api.StepList.as_view(), name="steps"),
    path(f"{_RUN}/complete", api.OrchestrationComplete.as_view()),
    path(f"{_RUN}/fail", api.OrchestrationFail.as_view()),
    path(f"{_RUN}/cancel", api.OrchestrationCancel.as_view()),
    path(f"{_RUN}/receipts", api.OrchestrationReceipts.as_view()),
    path(
        "v1/inferences/<str:name>",
        inference_api.InferenceDetail.as_view(),
        name="inference",
    ),
    path("v1/inferences/<str:name>/salts", gateway_api.InferenceSalts.as_view()),
    path("v1/inferences/<str:name>/proof", inference_api.InferenceProof.as_view()),
    path("v1/costs", cost_api.CostSummary.as_view(), name="cost-summary"),
    path("v1/observability/metrics", cost_api.Metrics.as_view(), name="metrics"),
    path("v1/budgets", cost_api.BudgetList.as_view(), name="budget-list"),
    path("v1/agent-receipts", agent_api.AgentReceiptList.as_view()),
    path(
        "v1/agent-receipts/verify/<str:name>",
        agent_api.AgentReceiptVerification.as_view(),
    ),
    # An agent's id may have a slash in it.
    path("v1/agent-receipts/agent/<path:agent_id>", agent_api.AgentReceipts.as_view()),
    path("v1/agent-receipts/<str:name>", agent_api.AgentReceiptDetail.as_view()),
]

_PROVIDER = "settings/providers/<slug:provider>"
pages: list[URLPattern] = [
    path("", overview_pages.front, name="home"),
    path("t/<slug:slug>", overview_pages.overview, name="home"),
    *of_tenant("orchestrations", run_pages.runs, "orchestrations"),
    *of_tenant("orchestrations/<str:run_id>", run_pages.run_detail, "orchestration"),
    *of_tenant("costs", cost_pages.costs, "costs"),
    *of_tenant("costs/calls", call_pages.calls, "calls"),
    *of_tenant("costs/steps", step_pages.steps, "cost-steps"),
    *of_tenant("exports", export_pages.exports, "exports"),
    *of_tenant(
        "orchestrations/<str:run_id>/evidence",
        evidence_pages.run_evidence,
        "orchestration-evidence",
    ),
    *of_tenant("settings", settings_pages.settings, "settings"),
    *of_tenant("settings/public-log", settings_pages.public_log, "public-log"),
    *of_tenant("settings/budget", settings_pages.budget, "budget"),
    *of_tenant("settings/prices", price_pages.prices, "prices"),
    *of_tenant("settings/prices/<int:price_id>/end", price_pages.end, "price-end"),
    *of_tenant(_PROVIDER, provider_pages.provider, "provider"),
    *of_tenant(f"{_PROVIDER}/remove", provider_pages.remove, "provider-remove"),
]
