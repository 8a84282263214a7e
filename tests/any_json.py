"""Any JSON, made of words that the protocols of intake know: for tests that feed it to all of them."""

from hypothesis import strategies as st

WORDS = [
    "alerts", "labels", "annotations", "status", "state", "startsAt", "endsAt", "fingerprint", "generatorURL", "commonLabels",
    "externalURL", "truncatedAlerts", "summary", "title", "id", "dedup_key", "severity", "tags", "timestamp", "url", "ruleId",
    "evalMatches", "ruleUrl", "Type", "Message", "AlarmName", "NewStateValue", "StateChangeTime", "Trigger", "Dimensions",
    "SubscribeURL", "check_id", "current_state", "check_params", "state_changed_timestamp", "routing_key", "event_action",
    "payload", "source", "custom_details", "links", "images", "href", "src", "client_url", "firing", "resolved", "alerting", "ok",
    "Notification", "SubscriptionConfirmation", "ALARM", "DOWN", "trigger", "", "https://x.example/", "https://[",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "2026-03-02T09:00:00", "{}", "99999999999999999",
]  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**400) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from(WORDS)
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda kids: st.lists(kids, max_size=4) | st.dictionaries(st.sampled_from(WORDS), kids, max_size=8),
    max_leaves=20,
)
