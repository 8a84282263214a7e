"""Who is on call: rotations in local wall time, schedules with layers and overrides, escalation policies, iCal feeds."""
