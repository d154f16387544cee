-- ARGV: epoch, lease, retention (ms). Answers 1 for held, 0 for not.
if state ~= 'C' or epoch ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], string.format('C|%s|%.0f', epoch, now() + ARGV[2]), 'PX', ARGV[3])
return 1
