-- What scripts see beside the interpreter's own: made once, before any script runs. `host` are the functions of Rust, each
-- of which returns its results, or nil and what is wrong; here that becomes an error at the script's line.
-- Whatever a script can reach is a shield, empty itself: it reads through to the real table, and cannot be written.
local host = ...
local error, getmetatable, rawget, select, tostring, type = error, getmetatable, rawget, select, tostring, type
local raw_next, raw_pairs, raw_pcall, raw_rawset, raw_setmetatable, raw_xpcall = next, pairs, pcall, rawset, setmetatable, xpcall
local ceil, concat, floor, sub, tonumber = math.ceil, table.concat, math.floor, string.sub, tonumber
local in_lower_case = string.lower

local READONLY = "Attempt to modify a readonly table"
local real_of = raw_setmetatable({}, { __mode = "k" })

local function refuse_write()
  error(READONLY, 2)
end

local function shield(real)
  local shown = { __index = real, __newindex = refuse_write, __metatable = false }
  local seen = raw_setmetatable({}, shown)
  real_of[seen] = real
  return seen, shown
end

-- Scripts see each function of this text through a function of C: as with those of the interpreter, whoever returns what one
-- of them returns stays on the stack, and its line is known. So of levels there is one more: ours, that one, the script.
local function relayed(made, native)
  for name, value in raw_pairs(made) do
    if type(value) == "function" and not (native and native[name] == value) then made[name] = host.c(value) end
  end
  return made
end

-- What a function of the host returned, or its error at the script's line: called in place of a return, which Lua counts as a
-- level that it no longer has.
local WRONG = host.wrong
local function checked(...)
  if (...) == WRONG then error(select(2, ...), 4) end
  return ...
end

local function argument(at, name, wanted, got)
  error("bad argument #" .. at .. " to '" .. name .. "' (" .. wanted .. " expected, got " .. got .. ")", 4)
end

local function kind(...)
  if select("#", ...) == 0 then return "no value" end
  return type((...))
end

-- The basic functions, those that a script could use to look behind a shield first.
local globals = {}
for _, name in raw_pairs({ "assert", "error", "getmetatable", "ipairs", "pcall", "rawequal", "select", "tonumber", "tostring", "type", "unpack", "xpcall", "_VERSION" }) do
  globals[name] = _G[name]
end

function globals.next(t, key)
  if type(t) ~= "table" then argument(1, "next", "table", type(t)) end
  return raw_next(real_of[t] or t, key)
end

function globals.pairs(...)
  local t = ...
  if type(t) ~= "table" then argument(1, "pairs", "table", kind(...)) end
  local real = real_of[t]
  if real then return function(_, key) return raw_next(real, key) end, t, nil end
  return raw_next, t, nil
end

function globals.rawget(t, key)
  if type(t) ~= "table" then argument(1, "rawget", "table", type(t)) end
  return rawget(real_of[t] or t, key)
end

function globals.rawset(t, key, value)
  if type(t) ~= "table" then argument(1, "rawset", "table", type(t)) end
  if real_of[t] then error(READONLY, 0) end
  return raw_rawset(t, key, value)
end

function globals.setmetatable(t, meta)
  if real_of[t] then error(READONLY, 0) end
  if type(t) ~= "table" then argument(1, "setmetatable", "table", type(t)) end
  if meta ~= nil and type(meta) ~= "table" then error("bad argument #2 to 'setmetatable' (nil or table expected)", 3) end
  if getmetatable(t) ~= nil and rawget(getmetatable(t), "__metatable") ~= nil then error("cannot change a protected metatable", 3) end
  return raw_setmetatable(t, meta)
end

-- A table with an error in it is caught as the text of the error.
local function caught(...)
  local ok, wrong = ...
  if not ok and type(wrong) == "table" and rawget(wrong, "err") ~= nil then return false, rawget(wrong, "err") end
  return ...
end

function globals.pcall(...)
  if select("#", ...) == 0 then error("bad argument #1 to 'pcall' (value expected)", 3) end
  return caught(raw_pcall(...))
end

-- The handler is called when its function has ended, not where the error was: there, an error that ends a script would run it
-- without anything that could end the handler.
local function handled(handler, ...)
  local ok, wrong = ...
  if ok then return ... end
  local _, made = raw_pcall(handler, wrong)
  return false, made
end

function globals.xpcall(...)
  if select("#", ...) < 2 then error("bad argument #2 to 'xpcall' (value expected)", 3) end
  local f, handler = ...
  return handled(handler, raw_pcall(f))
end

-- The collector works for everybody: a script may ask how much there is, and no more.
local count = collectgarbage
function globals.collectgarbage(what)
  if what == "count" then return count("count") end
  return 0
end

function globals.gcinfo()
  return floor(count("count"))
end

function globals.loadstring(text, name)
  if type(text) ~= "string" and type(text) ~= "number" then argument(1, "loadstring", "string", type(text)) end
  return host.compile(tostring(text), name or tostring(text))
end

function globals.load(reader, name)
  if type(reader) ~= "function" then argument(1, "load", "function", type(reader)) end
  local pieces = {}
  while true do
    local piece = reader()
    if piece == nil or piece == "" then break end
    if type(piece) ~= "string" then return nil, "reader function must return a string" end
    pieces[#pieces + 1] = piece
  end
  return host.compile(concat(pieces), name or "=(load)")
end

-- Strings: what has no bound in the interpreter is the host's.
local strings = {}
for name, value in raw_pairs(string) do strings[name] = value end
local find, first_match, replaced = host.find, host.match, host.replaced

local function text_of(value, at, name)
  if type(value) == "string" then return value end
  if type(value) == "number" then return tostring(value) end
  error("bad argument #" .. at .. " to '" .. name .. "' (string expected, got " .. (value == nil and "no value" or type(value)) .. ")", 4)
end

function strings.find(s, pattern, init, plain)
  return checked(find(text_of(s, 1, "find"), text_of(pattern, 2, "find"), init or 1, plain and true or false))
end

function strings.match(s, pattern, init)
  return checked(first_match(text_of(s, 1, "match"), text_of(pattern, 2, "match"), init or 1))
end

function strings.gmatch(s, pattern)
  s, pattern = text_of(s, 1, "gmatch"), text_of(pattern, 2, "gmatch")
  local at, match_from = 1, host.match_from
  local function step(start, finish, ...)
    if start == WRONG then error(finish, 3) end
    if start == nil then return nil end
    -- An empty match is followed by a step.
    at = finish + 1
    if finish < start then at = at + 1 end
    return ...
  end
  return function() return step(match_from(s, pattern, at, true)) end
end
strings.gfind = strings.gmatch

function strings.gsub(s, pattern, by, most)
  s, pattern = text_of(s, 1, "gsub"), text_of(pattern, 2, "gsub")
  local how = type(by)
  if how == "string" or how == "number" then
    return checked(replaced(s, pattern, tostring(by), most or -1))
  elseif how ~= "function" and how ~= "table" then
    error("bad argument #3 to 'gsub' (string/function/table expected)", 3)
  end
  local pieces, at, done, match_from = {}, 1, 0, host.match_from
  local anchored = sub(pattern, 1, 1) == "^"
  local function step(start, finish, first, ...)
    if start == WRONG then error(finish, 4) end
    if start == nil then return false end
    done = done + 1
    pieces[#pieces + 1] = sub(s, at, start - 1)
    local new
    if how == "function" then new = by(first, ...) else new = by[first] end
    if not new then
      new = sub(s, start, finish)
    elseif type(new) ~= "string" and type(new) ~= "number" then
      error("invalid replacement value (a " .. type(new) .. ")", 4)
    end
    pieces[#pieces + 1] = new
    at = finish + 1
    if finish < start then
      pieces[#pieces + 1] = sub(s, at, at)
      at = at + 1
    end
    return true
  end
  while (most == nil or done < most) and at <= #s + 1 do
    if not step(match_from(s, pattern, at, false)) or anchored then break end
  end
  pieces[#pieces + 1] = sub(s, at)
  return concat(pieces), done
end

function strings.rep(s, n)
  if n == nil then error("bad argument #2 to 'rep' (number expected, got no value)", 3) end
  return checked(host.rep(text_of(s, 1, "rep"), n))
end

-- Tables: sorting by merging, whose time is bounded whatever the order, and counted as any other Lua.
local tables = {}
for name, value in raw_pairs(table) do tables[name] = value end

-- The interpreter's own writes through a shield, and walks down to any position below the first, where no count of instructions
-- sees it.
local native_insert = table.insert
function tables.insert(...)
  local given, t, at, value = select("#", ...), ...
  if type(t) ~= "table" then argument(1, "insert", "table", kind(...)) end
  if real_of[t] then error(READONLY, 0) end
  if given == 2 then
    native_insert(t, at)
    return
  elseif given ~= 3 then
    error("wrong number of arguments to 'insert'", 3)
  end
  local where = tonumber(at)
  if where == nil then argument(2, "insert", "number", type(at)) end
  if where > -1 then
    native_insert(t, where, value)
    return
  end
  for i = #t + 1, ceil(where) + 1, -1 do raw_rawset(t, i, rawget(t, i - 1)) end
  raw_rawset(t, ceil(where), value)
end

-- As `<`, whose error would name a line of this text.
local function lower(a, b)
  local of_a, of_b = type(a), type(b)
  if of_a == of_b and (of_a == "number" or of_a == "string" or getmetatable(a) ~= nil) then return a < b end
  if of_a == of_b then error("attempt to compare two " .. of_a .. " values", 0) end
  error("attempt to compare " .. of_a .. " with " .. of_b, 0)
end

function tables.sort(t, less)
  if type(t) ~= "table" then argument(1, "sort", "table", type(t)) end
  if less ~= nil and type(less) ~= "function" then argument(2, "sort", "function", type(less)) end
  local n = #t
  less = less or lower
  local from, to = {}, {}
  for i = 1, n do from[i] = t[i] end
  local width = 1
  while width < n do
    for low = 1, n, 2 * width do
      local middle, high = low + width, low + 2 * width
      if middle > n + 1 then middle = n + 1 end
      if high > n + 1 then high = n + 1 end
      local left, right = low, middle
      for at = low, high - 1 do
        local take_right = false
        if left >= middle then
          take_right = true
        elseif right < high then
          take_right = less(from[right], from[left])
        end
        if take_right then
          to[at] = from[right]
          right = right + 1
        else
          to[at] = from[left]
          left = left + 1
        end
      end
    end
    from, to = to, from
    width = 2 * width
  end
  for i = 1, n do t[i] = from[i] end
end

local maths = {}
for name, value in raw_pairs(math) do maths[name] = value end

function maths.random(low, high)
  local r = host.random()
  if low == nil then return r end
  if type(low) ~= "number" then argument(1, "random", "number", type(low)) end
  if high == nil then
    if low < 1 then error("bad argument #1 to 'random' (interval is empty)", 3) end
    return floor(r * floor(low)) + 1
  end
  if type(high) ~= "number" then argument(2, "random", "number", type(high)) end
  if low > high then error("bad argument #2 to 'random' (interval is empty)", 3) end
  return floor(r * (floor(high) - floor(low) + 1)) + floor(low)
end

function maths.randomseed(seed)
  if type(seed) ~= "number" then argument(1, "randomseed", "number", kind(seed)) end
  host.randomseed(seed)
end

-- The libraries.
local function raising(library)
  local made = {}
  for name, value in raw_pairs(library) do
    if type(value) == "function" then
      made[name] = function(...) return checked(value(...)) end
    else
      made[name] = value
    end
  end
  return made
end

-- A function whose first arguments are texts.
local function textual(name, f, texts)
  return function(...)
    for i = 1, texts do
      local text = select(i, ...)
      if type(text) ~= "string" and type(text) ~= "number" then
        argument(i, name, "string", i > select("#", ...) and "no value" or type(text))
      end
    end
    return checked(f(...))
  end
end

-- A function of one argument, which may have to be a text.
local function alone(name, f, text)
  return function(...)
    if select("#", ...) ~= 1 then error("bad argument #1 to '" .. name .. "' (expected 1 argument)", 3) end
    local got = type((...))
    if text and got ~= "string" and got ~= "number" then argument(1, name, "string", got) end
    return checked(f(...))
  end
end

local function new_json()
  local made = host.json()
  local json = raising(made)
  json.encode, json.decode = alone("encode", made.encode, false), alone("decode", made.decode, true)
  json._NAME, json._VERSION = "cjson", "2.1.0"
  json.new = function() return new_json() end
  return relayed(json)
end

local packed = raising(host.msgpack)
for _, name in raw_pairs({ "unpack", "unpack_one", "unpack_limit" }) do
  packed[name] = textual(name, host.msgpack[name], 1)
end
local structs = {
  pack = textual("pack", host.struct.pack, 1),
  unpack = textual("unpack", host.struct.unpack, 2),
  size = textual("size", host.struct.size, 1),
}
packed._NAME, packed._VERSION = "cmsgpack", "lua-cmsgpack 0.4.0"
packed._DESCRIPTION = "MessagePack for Lua, as lua-cmsgpack packs it"

-- What scripts ask of the server.
local redis = {
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REPL_NONE = 0, REPL_AOF = 1, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_ALL = 3,
  REDIS_VERSION = host.redis_version, REDIS_VERSION_NUM = host.redis_version_num,
}
local call = host.call

function redis.call(...)
  local value, wrong = call(...)
  if wrong then error({ err = wrong, ignore_error_stats_update = true }, 0) end
  return value
end

function redis.pcall(...)
  local value, wrong = call(...)
  if wrong then return { err = wrong, ignore_error_stats_update = true } end
  return value
end

function redis.acl_check_cmd(...)
  local may, wrong = host.may_call(...)
  if wrong then error({ err = wrong }, 0) end
  return may
end

local function fail(text)
  error({ err = "ERR " .. text }, 0)
end

local function single(field, ...)
  if select("#", ...) ~= 1 or type((...)) ~= "string" then
    return { err = "ERR wrong number or type of arguments" }
  end
  return { [field] = (...) }
end

function redis.status_reply(...)
  return single("ok", ...)
end

function redis.error_reply(...)
  local reply = single("err", ...)
  local text = reply.err
  if select("#", ...) == 1 and type((...)) == "string" then
    if sub(text, 1, 1) == "-" then text = sub(text, 2) end
    -- A text of one word has no code of its own.
    reply.err = host.find(text, " ", 1, true) and text or "ERR " .. text
  end
  return reply
end

function redis.sha1hex(...)
  if select("#", ...) ~= 1 then fail("wrong number of arguments") end
  local text = ...
  if type(text) ~= "string" and type(text) ~= "number" then text = "" end
  return host.sha1hex(tostring(text))
end

function redis.log(...)
  if select("#", ...) < 2 then fail("redis.log() requires two arguments or more.") end
  local level = ...
  if type(level) ~= "number" then fail("First argument must be a number (log level).") end
  if level < 0 or level > 3 then fail("Invalid debug level.") end
  local words = {}
  for i = 2, select("#", ...) do
    local word = select(i, ...)
    if type(word) == "string" or type(word) == "number" then words[#words + 1] = tostring(word) end
  end
  host.log(floor(level), concat(words, " "))
end

function redis.setresp(...)
  if select("#", ...) ~= 1 then fail("redis.setresp() requires one argument.") end
  local version = ...
  if version ~= 2 and version ~= 3 then fail("RESP version must be 2 or 3.") end
  host.setresp(version)
end

function redis.set_repl(...)
  if select("#", ...) ~= 1 then fail("redis.set_repl() requires two arguments.") end
  local flags = ...
  if type(flags) ~= "number" or flags < 0 or flags > 3 then
    fail("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
  end
  if flags ~= 3 then
    fail("redis.set_repl() takes REPL_ALL alone: a replica holds what its primary holds.")
  end
end

function redis.replicate_commands() return true end
function redis.breakpoint() return false end
function redis.debug() end

-- What a script is run by. Its error is a table with its text and where in the script it was.
local function handler(wrong)
  local text = wrong
  if type(wrong) == "table" then text = rawget(wrong, "err") end
  if type(wrong) ~= "table" or text == nil then
    text = "ERR " .. (type(text) == "userdata" and host.text(text) or tostring(text == nil and wrong or text))
  end
  local source, line = host.place()
  return { err = tostring(text), source = source, line = line }
end

-- A function is called with its keys and its other arguments.
local function run(f, keys, args)
  if keys == nil then return raw_xpcall(f, handler) end
  return raw_xpcall(function() return f(keys, args) end, handler)
end

-- What a library may do while it is loaded: register functions, and log.
local on_load = {
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REDIS_VERSION = host.redis_version, REDIS_VERSION_NUM = host.redis_version_num,
  log = redis.log,
}

local function is_text(value)
  return type(value) == "string" or type(value) == "number"
end

-- The arguments of `redis.register_function`, as one table that names them.
local function named(given)
  local name, callback, description, flags
  for key, value in raw_next, given do
    if not is_text(key) then fail("named argument key given to redis.register_function is not a string") end
    key = in_lower_case(tostring(key))
    if key == "function_name" then
      if not is_text(value) then fail("function_name argument given to redis.register_function must be a string") end
      name = tostring(value)
    elseif key == "description" then
      if not is_text(value) then fail("description argument given to redis.register_function must be a string") end
      description = tostring(value)
    elseif key == "callback" then
      if type(value) ~= "function" then fail("callback argument given to redis.register_function must be a function") end
      callback = value
    elseif key == "flags" then
      if type(value) ~= "table" then fail("flags argument to redis.register_function must be a table representing function flags") end
      flags = value
    else
      fail("unknown argument given to redis.register_function")
    end
  end
  if name == nil then fail("redis.register_function must get a function name argument") end
  if callback == nil then fail("redis.register_function must get a callback argument") end
  return name, callback, description, flags
end

function on_load.register_function(...)
  if not host.is_loading() then fail("redis.register_function can only be called on FUNCTION LOAD command") end
  local given, name, callback, description, flags = select("#", ...), ...
  if given == 1 then
    if type(name) ~= "table" then
      fail("calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).")
    end
    name, callback, description, flags = named(name)
  elseif given == 2 then
    if not is_text(name) then fail("first argument to redis.register_function must be a string") end
    if type(callback) ~= "function" then fail("second argument to redis.register_function must be a function") end
    name = tostring(name)
  else
    fail("wrong number of arguments to redis.register_function")
  end
  local wrong = host.register(name, callback, description, flags)
  if wrong then fail(wrong) end
end

if host.of_functions then
  redis.replicate_commands, redis.breakpoint, redis.debug = nil, nil, nil
end

getmetatable("").__index = relayed(strings, string)
globals.string, globals.table, globals.math = shield(strings), shield(relayed(tables, table)), shield(relayed(maths, math))
globals.coroutine = shield(coroutine)
globals.redis, globals.bit = shield(relayed(redis)), shield(relayed(raising(host.bit)))
globals.struct = shield(relayed(structs))
globals.cjson, globals.cmsgpack = shield(new_json()), shield(relayed(packed))
relayed(globals, _G)
getmetatable("").__metatable = false

local missing = {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
}
raw_setmetatable(globals, missing)
local seen, shown = shield(globals)
globals._G = seen

-- A library that is loaded sees this in place of the globals.
local library = raw_setmetatable({ redis = shield(raw_setmetatable(relayed(on_load), missing)) }, missing)
local function show(is_loading)
  shown.__index = is_loading and library or globals
end
return seen, globals, run, show
