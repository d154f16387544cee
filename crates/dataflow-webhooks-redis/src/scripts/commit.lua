-- ARGV: epoch, retention (ms), whether WAIT follows. Answers 1 for held, 0 for not.
if epoch ~= ARGV[1] or state == 'R' then
  return 0
end
if state == 'C' then
  redis.call('SET', KEYS[1], 'D|' .. epoch .. '|0', 'PX', ARGV[2])
elseif ARGV[3] == '1' then
  -- WAIT waits for the writes of its own connection, and the first try may have had another one.
  redis.call('SET', KEYS[1], record, 'KEEPTTL')
end
return 1
