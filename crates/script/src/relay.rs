//! Functions of Lua that scripts see as functions of C.

use mlua::{Function, Lua, Result, ffi, lua_State};
use std::ffi::c_int;

/// A function of C that does what `inner` does. Who returns its results by `return f(…)` keeps its place on the stack, which it
/// would not before a function of Lua: errors name the script's line by it.
pub(crate) fn of(lua: &Lua, inner: Function) -> Result<Function> {
    // SAFETY: on the stack is `inner` alone; the closure takes it as its one upvalue and leaves itself there. It runs
    // protected: without memory it fails as an error of Lua.
    unsafe { lua.exec_raw::<Function>(inner, |state| ffi::lua_pushcclosure(state, relay, 1)) }
}

/// Calls its upvalue with its own arguments. It holds nothing that is to be dropped: an error leaps over it, as over any
/// function of C.
unsafe extern "C-unwind" fn relay(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with its arguments on the stack and room for twenty values more; one is pushed. The upvalue is
    // the function that `of` gave it.
    unsafe {
        let arguments = ffi::lua_gettop(state);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, arguments, ffi::LUA_MULTRET);
        ffi::lua_gettop(state)
    }
}
