-- Adds names of cache entries that every machine has to remove, and drops the oldest beyond the limits.
-- ARGV: JSON array of names, ms for which they are kept, most entries that are kept
local n = redis.call('INCR', keys.uncachedCount)
redis.call('XADD', keys.uncached, 'MAXLEN', ARGV[3], '*', 'n', n, 'names', ARGV[1])
redis.call('XTRIM', keys.uncached, 'MINID', string.format('%d', redisTime() - tonumber(ARGV[2])))
redis.call('PEXPIRE', keys.uncached, ARGV[2])
