"""Pure rules, no I/O: the words (domain), the policy, readiness, evidence."""
