//! What mimalloc, which the binary links, tells of itself.

use ironcache_node::{Allocator, Figures};
use std::ffi::{CStr, c_char, c_void};
use std::ptr::null_mut;

/// As the node asks it.
pub(crate) fn of_this_process() -> Allocator {
    // SAFETY: it takes nothing, and answers a constant.
    let version = unsafe { libmimalloc_sys::mi_version() };
    // Of 2.1.7 it is 217, of 3.2.6 30206.
    let (major, minor, patch) = if version < 10_000 {
        (version / 100, version / 10 % 10, version % 10)
    } else {
        (version / 10_000, version / 100 % 100, version % 100)
    };
    Allocator { name: format!("mimalloc-{major}.{minor}.{patch}"), figures, purge: give_back, report }
}

/// What was freed goes back to the system: of the calling thread, and what no thread owns.
pub(crate) fn give_back() {
    // SAFETY: it takes no pointers, and may be called at any time from any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

fn figures() -> Figures {
    let [mut resident, mut active] = [0_usize; 2];
    // SAFETY: each pointer is null, which the function allows, or of a number that outlives the call.
    unsafe {
        let none = null_mut();
        libmimalloc_sys::mi_process_info(none, none, none, &mut resident, none, &mut active, none, none);
    }
    Figures { active: active as u64, resident: resident as u64 }
}

fn report() -> String {
    unsafe extern "C" fn append(line: *const c_char, text: *mut c_void) {
        // SAFETY: mimalloc hands over a string that ends in a zero, and the `text` that it was given below.
        let (line, text) = unsafe { (CStr::from_ptr(line), &mut *text.cast::<String>()) };
        text.push_str(&line.to_string_lossy());
    }
    let mut text = String::new();
    // SAFETY: `append` takes its second argument for what it is, and `text` outlives the call.
    unsafe { libmimalloc_sys::mi_stats_print_out(Some(append), (&raw mut text).cast()) };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_a_name_a_report_and_figures() {
        // A process of tests does not allocate by it.
        // SAFETY: it takes nothing, and may be called again.
        unsafe { libmimalloc_sys::mi_thread_init() };
        let allocator = of_this_process();
        assert!(allocator.name.starts_with("mimalloc-3."), "{}", allocator.name);
        (allocator.purge)();
        let report = (allocator.report)();
        assert!(report.contains("reserved"), "{report}");
        assert!((allocator.figures)().resident > 0);
    }
}
