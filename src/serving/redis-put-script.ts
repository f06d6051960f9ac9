/**
 * Takes one batch, in Lua on the server, where nothing comes between its steps and a crash keeps all of them or none.
 *
 *     KEYS  1 positions of the table   2.. an entity each
 *     ARGV  1 field of the position    2 from, "" for none    3 next    4 time to live, ms    5 order
 *           6.. an entity each: JSON array of names and values in turn, those of the record first; "" when it is gone
 *
 * Answers with the position of the place. What a script did before an error stays, so the position is the first
 * write: a server that is full, or only a replica, refuses it, and would let it pass behind a DEL. Nothing after it can
 * fail.
 *
 * It is sent whole each time: the server keeps what it compiled, and there is no digest that its restart makes wrong.
 */
export const putScript = `
local at = redis.call('HGET', KEYS[1], ARGV[1])
if (at or '') ~= ARGV[2] then return at end

local records = {}
for k = 2, #KEYS do
  local packed = ARGV[k + 4]
  records[k] = packed ~= '' and cjson.decode(packed)
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])

local function newer(key, record)
  local held = redis.pcall('HMGET', key, '@time', '@partition', '@offset')
  if held.err then return true end
  for i = 1, 3 do
    local ours, theirs = tonumber(record[2 * i]), tonumber(held[i] or '')
    if theirs == nil or ours ~= theirs then return theirs == nil or ours > theirs end
  end
  return true
end

for k = 2, #KEYS do
  local key, record = KEYS[k], records[k]
  if not record then
    redis.call('DEL', key)
  elseif ARGV[5] ~= 'time' or newer(key, record) then
    redis.call('DEL', key)
    redis.call('HSET', key, unpack(record))
    redis.call('PEXPIRE', key, ARGV[4])
  end
end
return ARGV[3]
`;
