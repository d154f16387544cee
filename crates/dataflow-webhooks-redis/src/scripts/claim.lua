-- ARGV: lease, retention (ms). Answers the epoch of a new claim, 0 for done, -1 for in flight.
if state == 'D' then
  return 0
end
local at = now()
if state == 'C' and at < tonumber(lease_end) then
  return -1
end
local next_epoch = (epoch or 0) + 1
redis.call('SET', KEYS[1], string.format('C|%.0f|%.0f', next_epoch, at + ARGV[1]), 'PX', ARGV[2])
return next_epoch
