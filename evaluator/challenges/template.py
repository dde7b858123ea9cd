"""The definition that ``umd challenge init`` writes: it runs on synthetic data at once."""

TEMPLATE = """\
# A challenge. Every key is described in docs/organising-a-challenge.md.
name = "example"
title = "Organs from a box, on synthetic data"
description = "Two synthetic subjects. Replace the datasets by your own."
contact = "organiser@example.org"

# the dry run: teams have these data, and see the whole log
public_dataset = "phantom-toy"
probe_subjects = 1

# "local" runs models of the zoo without a container, for a rehearsal; a challenge needs "docker" or
# "podman"
engine = "local"

[limits]
request_seconds = 120
submission_seconds = 3600
archive_gib = 40
host_retries = 3
recheck = 0

[ranking]
metrics = [{ name = "dice", weight = 1.0 }, { name = "nsd", weight = 1.0 }]
order = "rank-then-aggregate"
failures = "worst"

[[phases]]
name = "test"
start = 2026-01-01T00:00:00Z
end = 2036-01-01T00:00:00Z
hidden_dataset = "phantom-toy"
logs = "failures"
scores = "visible"
quota = { per_day = 5, per_phase = 20 }

[[tracks]]
name = "box"
title = "A box on each image"
protocol = "box"
prompts = ["box"]
"""
