SELECT d.epoch
FROM dataflow_webhooks_dedup AS d
WHERE d.scope = $1 AND d.event_id = $2 AND d.epoch = $3
    AND d.state = 2 AND d.expires_at > (extract(epoch FROM clock_timestamp()) * 1000)::bigint
