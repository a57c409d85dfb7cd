-- Renews the heartbeat of a worker by Redis's clock: those of the machines may be hours apart.
-- ARGV: prefix, worker id, JSON heartbeat without its time
local beat = cjson.decode(ARGV[3])
beat.beatAt = redisTime()
redis.call('HSET', key('workers'), ARGV[2], cjson.encode(beat))
