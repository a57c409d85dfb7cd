-- Says that a bot looks after the queue, and counts the time in which none did: of a machine that slept, or was off.
-- ARGV: now, longest time between two looks of a bot that is awake
-- Returns the ms in which nobody looked, in all.
local now, pause = tonumber(ARGV[1]), tonumber(ARGV[2])
local last = tonumber(redis.call('GET', keys.reconciled) or '') or 0
if now > last then redis.call('SET', keys.reconciled, string.format('%d', now)) end
if last > 0 and now - last > pause then
  redis.call('INCRBY', keys.asleep, string.format('%d', now - last))
end
return tonumber(redis.call('GET', keys.asleep) or '') or 0
