-- One act of an admin or moderator: changes one value and adds a line to the audit trail, in one step.
-- Own keys: asked (of this call: the same call, sent twice by a broken connection, gets the same answer and changes
--   nothing), changed (the one that is changed)
-- ARGV: JSON act
--   act: by action target reason now change, and the arguments of the change: field value least most
--   now: ms since 1970; Redis's own time where it is left out
-- Changes: set (field of a hash) · delete (field of a hash) · add (to a field, clamped to least..most) ·
--   replace (a whole string; deleted when value is '')
-- Returns JSON { changed, before, after }; before and after are absent where there is no value. An act that changes
-- nothing is not added to the trail.
local act = cjson.decode(ARGV[1])
local said = redis.call('GET', keys.asked)
if said then return said end

local before, after
if act.change == 'replace' then
  before = redis.call('GET', keys.changed) or nil
  if act.value == '' then
    redis.call('DEL', keys.changed)
  else
    redis.call('SET', keys.changed, act.value)
    after = act.value
  end
else
  before = redis.call('HGET', keys.changed, act.field) or nil
  if act.change == 'set' then
    after = act.value
  elseif act.change == 'add' then
    local sum = tonumber(before or '0') + act.value
    after = string.format('%.0f', math.max(act.least, math.min(act.most, sum)))
    if not before and after == '0' then after = nil end
  end
  if after then
    redis.call('HSET', keys.changed, act.field, after)
  else
    redis.call('HDEL', keys.changed, act.field)
  end
end

local changed = before ~= after
if changed then audit(act.now or redisTime(), act.by, act.action, act.target, before, after, act.reason) end
local answer = cjson.encode({ changed = changed, before = before, after = after })
redis.call('SET', keys.asked, answer, 'EX', 3600)
return answer
