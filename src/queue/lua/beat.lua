-- Renews the heartbeat of a worker by Redis's clock: those of the machines may be hours apart.
-- ARGV: worker id, JSON heartbeat without its time, an object with something in it
-- The text is put together: decoded and encoded again, an empty list would become an object.
local beat = string.format('{"beatAt":%.0f,', redisTime()) .. string.sub(ARGV[2], 2)
redis.call('HSET', keys.workers, ARGV[1], beat)
