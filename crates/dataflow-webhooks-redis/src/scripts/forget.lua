-- The record stays, with its epoch and the end of its retention. Answers 1.
if record and state ~= 'R' then
  redis.call('SET', KEYS[1], 'R|' .. epoch .. '|0', 'KEEPTTL')
end
return 1
