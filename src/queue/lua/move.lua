-- A community goes on under another key: what was set for it moves along. What was set for the new key stays.
-- Own keys: oldRules and newRules
-- ARGV: old key, new key
-- Returns 1 when this call moved it, 0 when it had been moved before.
local from, to = ARGV[1], ARGV[2]
if redis.call('HSETNX', keys.moved, from, to) == 0 then return 0 end

local function move(hash, oldField, newField)
  local value = redis.call('HGET', hash, oldField)
  if not value then return end
  redis.call('HSETNX', hash, newField, value)
  redis.call('HDEL', hash, oldField)
end
move(keys.bans, from, to)
for _, kind in ipairs({ 'user:', 'community:' }) do
  move(keys.limits, kind .. from, kind .. to)
  move(keys.weights, kind .. from, kind .. to)
end
move(keys.grants, from, to)

local rules = redis.call('HGETALL', keys.oldRules)
for i = 1, #rules, 2 do redis.call('HSETNX', keys.newRules, rules[i], rules[i + 1]) end
redis.call('DEL', keys.oldRules)
return 1
