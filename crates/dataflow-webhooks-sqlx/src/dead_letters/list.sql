SELECT event_id, letter
FROM dataflow_webhooks_dead_letters
WHERE scope = $1 AND (failed_at, event_id) > ($2, $3)
ORDER BY failed_at, event_id
LIMIT $4
