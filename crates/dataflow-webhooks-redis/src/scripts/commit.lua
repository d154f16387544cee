-- ARGV: epoch, retention (ms), anything to write it again when it is done already. Answers 1 for
-- held, 0 for not.
if epoch ~= ARGV[1] or state == 'R' then
  return 0
end
if state == 'C' then
  redis.call('SET', KEYS[1], 'D|' .. epoch .. '|0', 'PX', ARGV[2])
elseif ARGV[3] then
  redis.call('SET', KEYS[1], record, 'KEEPTTL')
end
return 1
