-- Says that a bot looks after the queue, and counts the time in which none did: of a machine that slept, or was off.
-- ARGV: prefix, now, longest time between two looks of a bot that is awake
-- Returns the ms in which nobody looked, in all.
local now, pause = tonumber(ARGV[2]), tonumber(ARGV[3])
local last = tonumber(redis.call('GET', key('reconciled')) or '') or 0
if now > last then redis.call('SET', key('reconciled'), string.format('%d', now)) end
if last > 0 and now - last > pause then
  redis.call('INCRBY', key('asleep'), string.format('%d', now - last))
end
return tonumber(redis.call('GET', key('asleep')) or '') or 0
