-- The commit inside a handler's own transaction. It waits for whoever has locked the record.
UPDATE dataflow_webhooks_dedup AS d
SET state = 2, expires_at = clock.now + $4
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) AS clock
WHERE d.scope = $1 AND d.event_id = $2 AND d.epoch = $3
    AND d.state = 1 AND d.expires_at > clock.now
RETURNING d.epoch
