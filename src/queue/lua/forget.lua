-- Last step of forgetting a user, when their jobs are gone: removes their extra credits, their use of past days, their
-- cool-down and, unless they have asked again, their place in virtual time.
-- Own keys: cooldown and history (of the user); behind them those of the days whose use of credits is removed
-- ARGV: user, time of the request to be forgotten, an id for keys.rewrites
-- Returns { days on which credits had been used, extra credits that were removed }
local user, wishedAt = ARGV[1], tonumber(ARGV[2])
local days = 0
for i = named + 1, #KEYS do days = days + redis.call('HDEL', KEYS[i], user) end
local granted = tonumber(redis.call('HGET', keys.grants, user) or '0')
redis.call('HDEL', keys.grants, user)
redis.call('DEL', keys.cooldown)
if redis.call('EXISTS', keys.history) == 0 then redis.call('HDEL', keys.vfinish, user) end
-- A later request of the same user stays.
local wish = redis.call('ZSCORE', keys.forgetting, user)
if wish and tonumber(wish) <= wishedAt then redis.call('ZREM', keys.forgetting, user) end
redis.call('SADD', keys.rewrites, ARGV[3])
return { days, granted }
