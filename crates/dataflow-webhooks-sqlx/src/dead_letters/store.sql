-- A letter of an earlier run that comes late does not take the place of a later one.
INSERT INTO dataflow_webhooks_dead_letters AS d
    (scope, event_id, failed_at, runs, event_type, reason, letter)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (scope, event_id) DO UPDATE
SET failed_at = excluded.failed_at, runs = excluded.runs, event_type = excluded.event_type,
    reason = excluded.reason, letter = excluded.letter
WHERE excluded.runs >= d.runs OR excluded.failed_at >= d.failed_at
RETURNING event_id, '' AS letter
