-- The head of every script. One key is one record, <state>|<epoch>|<end of the lease>: the state
-- is C(laimed), R(eleased) or D(one), the end in milliseconds of the server's own clock.
-- Epochs are compared as text: a number of Lua is exact to 2^53 only.
local record = redis.call('GET', KEYS[1])
local state, epoch, lease_end
if record then
  state, epoch, lease_end = string.match(record, '^([CRD])|(%d+)|(%d+)$')
  if not state then
    return redis.error_reply('NOTARECORD under this key is a value that is not a record')
  end
end
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
