-- Moves virtual time back towards zero, so that priorities stay below BullMQ's maximum even if the queue is never
-- empty. Subtracts the smallest virtual start of the waiting and running jobs, so the order of all jobs stays.
-- Own keys: activeAll
-- ARGV: what the keys of jobs and of sets of waiting jobs begin with, smallest amount worth subtracting
-- Returns the amount subtracted, or 0.
local jobStem, waitingStem, atLeast = ARGV[1], ARGV[2], tonumber(ARGV[3])
local base = tonumber(redis.call('GET', keys.vtime) or '0')
local kinds = redis.call('SMEMBERS', keys.presets)
for _, kind in ipairs(kinds) do
  local first = redis.call('ZRANGE', waitingStem .. kind, 0, 0)[1]
  local tag = first and tonumber(redis.call('HGET', jobStem .. first, 'tag') or nil)
  if tag and tag < base then base = tag end
end
if base < atLeast or base < 1 then return 0 end

local function moved(value) return math.max(0, tonumber(value) - base) end
local function text(value) return string.format('%.0f', value) end

redis.call('SET', keys.vtime, text(moved(redis.call('GET', keys.vtime))))
local finishes = redis.call('HGETALL', keys.vfinish)
for i = 1, #finishes, 2 do
  local finish = moved(finishes[i + 1])
  -- A virtual finish before the new zero no longer delays its user.
  if finish > 0 then
    redis.call('HSET', keys.vfinish, finishes[i], text(finish))
  else
    redis.call('HDEL', keys.vfinish, finishes[i])
  end
end
-- A running job may be handed back, so its start moves too; one that started before the new zero stays first.
for _, id in ipairs(redis.call('SMEMBERS', keys.activeAll)) do
  local jobKey = jobStem .. id
  local tag = redis.call('HGET', jobKey, 'tag')
  if tag then
    tag = moved(tag)
    redis.call('HSET', jobKey, 'tag', text(tag))
    local waiting = waitingStem .. kindOf(jobKey)
    local order = servingOrder(tag, tonumber(redis.call('HGET', jobKey, 'sequence')))
    redis.call('ZADD', waiting, 'XX', order, id)
  end
end
return base
