-- A community goes on under another key: what was set for it moves along. What was set for the new key stays.
-- ARGV: prefix, old key, new key
-- Returns 1 when this call moved it, 0 when it had been moved before.
local from, to = ARGV[2], ARGV[3]
if redis.call('HSETNX', key('moved'), from, to) == 0 then return 0 end

local function move(name, oldField, newField)
  local value = redis.call('HGET', key(name), oldField)
  if not value then return end
  redis.call('HSETNX', key(name), newField, value)
  redis.call('HDEL', key(name), oldField)
end
move('bans', from, to)
for _, kind in ipairs({ 'user:', 'community:' }) do
  move('limits', kind .. from, kind .. to)
  move('weights', kind .. from, kind .. to)
end
move('grants', from, to)

local oldRules, newRules = key('rules:' .. from), key('rules:' .. to)
local rules = redis.call('HGETALL', oldRules)
for i = 1, #rules, 2 do redis.call('HSETNX', newRules, rules[i], rules[i + 1]) end
redis.call('DEL', oldRules)
return 1
